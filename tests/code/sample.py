"""What radon tells apart, construct by construct."""
import os
from typing import Optional


def decorate(check=lambda x: x if x else None):
    def wrap(function):
        return function if check else None
    return wrap


@decorate(lambda x: 1 if x else 2)
def heads(a: int = 1 if os.name else 2, *rest: str, **named) -> Optional[int]:
    """Only bodies count."""
    return a


def loops(items, flag):
    for item in items:
        if item and flag or not item:
            continue
        elif item is None:
            break
    else:
        return [x for x in items if x if x > 1 for y in x]
    while flag:
        flag -= 1
    else:
        flag = {k: v for k, v in items}
    return (x for x in items) if flag else {x for x in items}


def tries(path):
    try:
        with open(path) as handle:
            return handle.read()
    except OSError:
        return None
    except (ValueError, TypeError) as error:
        raise error
    else:
        pass
    finally:
        path = None


def groups():
    try:
        pass
    except* ValueError:
        pass
    except* TypeError:
        pass
    else:
        pass


def asserts(x):
    assert x if x else (x and x), "its subtree is not visited"
    y = lambda v: v if v else 0
    return (z := x) and f"{x if x else y}"


def matches(command):
    match command:
        case ["go", direction] if direction and command:
            return 1
        case {"a": 1} | None:
            return 2
        case _:
            return 3


def matches_all(command):
    match command:
        case 1:
            return 1
        case (other):
            return other


def matches_none(command):
    match command:
        case 1, _:
            return 1
        case a.b:
            return 2


async def asynchronous(source):
    async for item in source:
        async with item as thing:
            yield thing
    return


class Outer(dict if os.name else list):
    limit = 3 if os.name else 4

    class Inner:
        flag = 1 if os.name else 2

        def inside(self):
            return self and 1

    def method(self, key, *, deep: bool = False) -> None:
        def closure(n):
            def deeper(m):
                return m or n
            return n if n else deeper
        class Local:
            def hidden(self):
                return 1 if self else 0
        return closure if key else None

    def test_nothing(self):
        pass


if __name__ == "__main__":
    for _ in range(3):
        def late(): return 1 if _ else 2
