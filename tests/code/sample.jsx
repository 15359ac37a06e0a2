// ESLint's `complexity` in JSX: elements add nothing, what stands in braces does.
import React from 'react';

export function Basket({ items = [], onPick, empty }) {
  if (!items.length) return empty ?? <p>Nothing &amp; nobody</p>;
  return (
    <>
      {items.map((item) => (item.hidden ? null : <li key={item.id} onClick={() => onPick?.(item)}>{item.name || '–'}</li>))}
      {onPick && <button disabled={!items[0]}>{items.length > 1 ? 'all' : 'one'}</button>}
    </>
  );
}

module.exports = (x) => <div>{x ? <b /> : x && null}</div>;
