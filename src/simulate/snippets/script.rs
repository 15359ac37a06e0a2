//! JavaScript and TypeScript.

use super::Snippet;

/// JavaScript, and TypeScript where typed.
pub(in crate::simulate) const SCRIPT: [Snippet; 4] = [
    Snippet {
        needs: TYPE,
        body: r"
~</** Sums the prices of all ~ns. */
~>export function total~Ns(~ns~(: ~N[]~))~(: number~) {
  return ~ns.filter((~n) => !~n.cancelled).reduce((sum, ~n) => sum + ~n.price * 1.~k, 0);
}
",
        test: r"
test('no ~ns cost nothing', () => {
  expect(total~Ns([])).toBe(0);
});
",
    },
    Snippet {
        needs: TYPE,
        body: r"
~</** Keeps the ~ns that the page shows. */
~>export class ~NList {
  constructor(~(private ~)items~(: ~N[]~) = []) {
    this.items = items;
  }

  add(~n~(: ~N~))~(: void~) {
    if (this.items.some((known) => known.id === ~n.id)) {
      throw new Error(`~n ${~n.id} is there already`);
    }
    this.items.push(~n);
  }

  page(number~(: number~), size~(: number~) = ~k)~(: ~N[]~) {
    return this.items.slice((number - 1) * size, number * size);
  }
}
",
        test: r"
test('one ~n is added once', () => {
  const list = new ~NList();
  list.add({ id: 1, name: 'a', price: 1 });
  expect(list.page(1).length).toBe(1);
});
",
    },
    Snippet {
        needs: TYPE,
        body: r"
~</** Names every field of the ~n that is wrong. */
~>export function validate~N(~n~(: Partial<~N>~))~(: string[]~) {
  const errors~(: string[]~) = [];
  if (!~n.name) {
    errors.push('name is missing');
  } else if (~n.name.length > ~k) {
    errors.push('name is too long');
  }
  if (~n.price !== undefined && ~n.price < 0) {
    errors.push('price is below zero');
  }
  return errors;
}
",
        test: r"
test('one ~n needs a name', () => {
  expect(validate~N({})).toEqual(['name is missing']);
});
",
    },
    Snippet {
        needs: TYPE,
        body: r"
~</** Loads one ~n; null where there is none. */
~>export async function load~N(id~(: number~))~(: Promise<~N | null>~) {
  const response = await fetch(`/api/~ns/${id}`);
  if (response.status === 404) {
    return null;
  }
  if (!response.ok) {
    throw new Error(`~n ${id}: ${response.status}`);
  }
  return response.json();
}
",
        test: r"",
    },
];

const TYPE: &str = r"~(export interface ~N {
  id: number;
  name: string;
  price: number;
  cancelled?: boolean;
}
~)";
