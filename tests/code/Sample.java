package sample;

import java.util.List;
import java.util.function.Function;

/** What lizard tells apart in Java. */
public class Sample<T extends Comparable<? super T>> {
    private final int size;

    public Sample(int size) {
        this.size = size > 0 ? size : 1;
    }

    /** Its kind. */
    public int kind(Object other, List<? extends T> items) throws Exception {
        if (size > 1 && size < 9 || size == 4) {
            return 1;
        } else if (other == null) {
            return 0;
        }
        for (int i = 0; i < size; i++) {
            while (i > 2) { break; }
            do { i++; } while (i < 2);
        }
        for (T item : items) { continue; }
        switch (size) {
            case 1:
            case 2: return 2;
            default: break;
        }
        try { return Integer.parseInt("1"); }
        catch (NumberFormatException | NullPointerException e) { return 3; }
        finally { size(); }
    }

    int size() {
        Function<Integer, Integer> f = x -> x > 1 ? x : 0;
        return f.apply(size);
    }

    int arrows(int x) {
        return switch (x) { case 1, 2 -> 1; case 3 -> 2; default -> 0; };
    }

    interface Area { int area(); default int twice() { return area() * 2; } }

    Runnable later() {
        return new Runnable() {
            @Override public void run() { if (size > 1) { size(); } }
        };
    }

    @Test
    void works() { assert size > 0; }
}
