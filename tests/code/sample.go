// Package sample is what lizard tells apart in Go.
package sample

import (
	"errors"
	"testing"
)

// Shape is a shape.
type Shape struct {
	Size int
}

type Area interface {
	Area() int
}

// Kind returns its kind.
func (s *Shape) Kind(other interface{}, names ...string) (int, error) {
	if s.Size > 1 && s.Size < 9 || s.Size == 4 {
		return 1, nil
	} else if other == nil {
		return 0, errors.New("none")
	}
	for i := 0; i < s.Size; i++ {
		for range names {
			continue
		}
	}
	switch x := other.(type) {
	case int:
		return x, nil
	case string, []byte:
		return 2, nil
	default:
		return 3, nil
	}
}

func choose(a, b chan int) int {
	select {
	case x := <-a:
		return x
	case b <- 1:
		return 2
	}
	each := func(n int) bool { return n > 1 && n < 3 }
	go func() {
		if each(1) {
			return
		}
	}()
	return 0
}

func generic[T any](x T) T { return x }

func TestChoose(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
}

func Testing() {}
