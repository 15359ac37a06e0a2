//! SQL, as SQLite reads it.

use super::Snippet;

pub(in crate::simulate) const SQL: [Snippet; 4] = [
    Snippet {
        needs: TABLE,
        body: r"
~<-- The newest first, as the page shows them.
~>CREATE INDEX idx_~ns_created_at ON ~ns (created_at DESC);

SELECT id, name FROM ~ns WHERE status = 'open' ORDER BY created_at DESC LIMIT ~k;
",
        test: r"
SELECT count(*) = 0 AS passed FROM ~ns WHERE price < 0;
",
    },
    Snippet {
        needs: TABLE,
        body: r"
~<-- What each owner had, month by month.
~>CREATE VIEW ~ns_by_month AS
SELECT owner_id, substr(created_at, 1, 7) AS month, count(*) AS ~ns, sum(price) AS total
FROM ~ns
GROUP BY owner_id, month
HAVING count(*) > ~k;
",
        test: "",
    },
    Snippet {
        needs: TABLE,
        body: r"
~<-- Whoever has no owner belongs to the first.
~>UPDATE ~ns SET owner_id = ~k WHERE owner_id IS NULL;

DELETE FROM ~ns WHERE status = 'draft' AND created_at < '2020-01-01';
",
        test: r"
SELECT count(*) = 0 AS passed FROM ~ns WHERE owner_id IS NULL;
",
    },
    Snippet {
        needs: TABLE,
        body: r"
CREATE TABLE ~n_history (
    ~n_id INTEGER NOT NULL REFERENCES ~ns (id),
    changed_at TEXT NOT NULL,
    status TEXT NOT NULL CHECK (length(status) < ~k),
    PRIMARY KEY (~n_id, changed_at)
);

SELECT h.status, count(*) FROM ~ns AS t JOIN ~n_history AS h ON h.~n_id = t.id GROUP BY h.status;
",
        test: "",
    },
];

const TABLE: &str = r"~<-- Every ~n with its owner.
~>CREATE TABLE ~ns (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    price REAL NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'open',
    owner_id INTEGER,
    created_at TEXT NOT NULL
);
";
