//! Rust.

use super::Snippet;

pub(in crate::simulate) const RUST: [Snippet; 4] = [
    Snippet {
        needs: STRUCT,
        body: r"
~</// Sums the prices of all open ~ns, tax included.
~>pub fn total_of_~ns(~ns: &[~N]) -> f64 {
    ~ns.iter().filter(|~n| ~n.open).map(|~n| ~n.price * 1.~k).sum()
}
",
        test: r"
    #[test]
    fn no_~ns_cost_nothing() {
        assert!(total_of_~ns(&[]).abs() < 1e-9);
    }
",
    },
    Snippet {
        needs: STRUCT,
        body: r#"
impl ~N {
~<    /// Closes the ~n; closing it twice is an error.
~>    pub fn close(&mut self) -> Result<(), String> {
        if !self.open {
            return Err(format!("~n {} is closed", self.id));
        }
        self.open = false;
        Ok(())
    }
}
"#,
        test: r"
    #[test]
    fn a_~n_is_closed_once() {
        let mut ~n = ~N { id: 1, price: 2.0, open: true };
        assert!(~n.close().is_ok() && ~n.close().is_err());
    }
",
    },
    Snippet {
        needs: STRUCT,
        body: r"
~</// One page of ~ns; none past the last.
~>pub fn page_of_~ns(~ns: &[~N], page: usize) -> &[~N] {
    const SIZE: usize = ~k;
    let first = page.saturating_mul(SIZE).min(~ns.len());
    &~ns[first..~ns.len().min(first + SIZE)]
}
",
        test: r"
    #[test]
    fn there_is_nothing_past_the_last_page() {
        assert!(page_of_~ns(&[], 3).is_empty());
    }
",
    },
    Snippet {
        needs: STRUCT,
        body: r#"
~</// Reads the id of one ~n from the path of a request.
~>pub fn ~n_id(path: &str) -> Option<u32> {
    let id = path.strip_prefix("/~ns/")?;
    match id.parse() {
        Ok(0) | Err(_) => None,
        Ok(id) => Some(id),
    }
}
"#,
        test: r#"
    #[test]
    fn an_id_is_a_number_above_zero() {
        assert_eq!(~n_id("/~ns/~k"), Some(~k));
        assert_eq!(~n_id("/~ns/0"), None);
    }
"#,
    },
];

const STRUCT: &str = r"~</// One ~n as the service knows it.
~>#[derive(Debug, Clone)]
pub struct ~N {
    pub id: u32,
    pub price: f64,
    pub open: bool,
}
";
