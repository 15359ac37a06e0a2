//! HTML.

use super::Snippet;

pub(in crate::simulate) const HTML: [Snippet; 4] = [
    html(
        r#"<section id="~ns">
  <h2>All ~ns</h2>
  <table>
    <thead>
      <tr><th>Name</th><th>Price</th></tr>
    </thead>
    <tbody>
      <tr><td>~N ~k</td><td>~k.00</td></tr>
    </tbody>
  </table>
</section>
"#,
    ),
    html(
        r#"~<<!-- Posts a new ~n. -->
~><form action="/~ns" method="post">
  <label for="name">Name of the ~n</label>
  <input id="name" name="name" maxlength="~k" required>
  <button type="submit">Save</button>
</form>
"#,
    ),
    html(
        r##"<nav aria-label="~ns">
  <ul>
    <li><a href="#new">New ~n</a></li>
    <li><a href="?size=~k">More ~ns</a></li>
  </ul>
</nav>
"##,
    ),
    html(
        r#"<p class="empty">There are no ~ns yet.</p>
<dialog id="delete-~n">
  <p>Delete this ~n? It is kept for ~k days.</p>
  <button value="yes">Delete</button>
</dialog>
"#,
    ),
];

const fn html(body: &'static str) -> Snippet {
    Snippet { needs: "<!doctype html>\n<meta charset=\"utf-8\">\n<title>~N list</title>\n", body, test: "" }
}
