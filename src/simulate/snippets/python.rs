//! Python.

use super::Snippet;

pub(in crate::simulate) const PYTHON: [Snippet; 5] = [
    Snippet {
        needs: "",
        body: r#"

def total_of_~ns(~ns~(: list[dict]~))~( -> float~):
~<    """Sum the prices of all ~ns, tax included."""
~>    total = 0.0
    for ~n in ~ns:
        if ~n.get("cancelled"):
            continue
        total += ~n["price"] * ~n.get("amount", 1)
    return round(total * 1.~k, 2)
"#,
        test: r"

def test_total_of_no_~ns_is_zero():
    assert total_of_~ns([]) == 0
",
    },
    Snippet {
        needs: "from dataclasses import dataclass\n",
        body: r#"

@dataclass
class ~N:
~<    """One ~n as the service knows it."""

~>    id: int
    name: str
    open: bool = True

    def close(self)~( -> None~):
~<        """Close the ~n; closing it twice is an error."""
~>        if not self.open:
            raise ValueError(f"~n {self.id} is closed")
        self.open = False
"#,
        test: r#"

def test_one_~n_is_closed_once():
    ~n = ~N(1, "first")
    ~n.close()
    assert not ~n.open
"#,
    },
    Snippet {
        needs: "",
        body: r#"

def page_of_~ns(~ns~(: list[dict]~), page~(: int~) = 1, size~(: int~) = ~k)~( -> dict~):
~<    """Return one page of ~ns and how many pages there are."""
~>    if page < 1 or size < 1:
        raise ValueError("page and size start at 1")
    first = (page - 1) * size
    return {"items": ~ns[first : first + size], "pages": -(-len(~ns) // size)}
"#,
        test: r#"

def test_pages_of_~ns_are_counted():
    assert page_of_~ns([{}] * 5, size=2)["pages"] == 3
"#,
    },
    Snippet {
        needs: "import re\n",
        body: r#"

def validate_~n(~n~(: dict~))~( -> list[str]~):
~<    """Name every field of the ~n that is wrong."""
~>    errors = []
    if not ~n.get("name"):
        errors.append("name is missing")
    elif len(~n["name"]) > ~k:
        errors.append("name is too long")
    if "email" in ~n and not re.match(r"[^@\s]+@[^@\s]+$", ~n["email"]):
        errors.append("email is not an address")
    return errors
"#,
        test: r#"

def test_one_~n_needs_a_name():
    assert validate_~n({}) == ["name is missing"]
"#,
    },
    Snippet {
        needs: "import logging\n",
        body: r#"

async def load_~n(client, ~n_id~(: int~), tries~(: int~) = 3)~( -> dict | None~):
~<    """Fetch one ~n, again where the server is busy."""
~>    for attempt in range(tries):
        response = await client.get(f"/~ns/{~n_id}")
        if response.status_code == 404:
            return None
        if response.status_code < 500:
            return response.json()
        logging.warning("~n %s: try %s failed", ~n_id, attempt + 1)
    raise TimeoutError(f"~n {~n_id} was not loaded")
"#,
        test: r"",
    },
];
