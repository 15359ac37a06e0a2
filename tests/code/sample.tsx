import React from 'react';
type Props = { items?: string[]; onPick: (x: string) => void };
/** A list. */
export const List: React.FC<Props> = ({ items = [], onPick }) => {
  const [open, setOpen] = React.useState<boolean>(false);
  return open && items.length > 0 ? (
    <ul>{items.map((x) => <li key={x} onClick={() => onPick(x) || setOpen(!open)}>{x ?? '–'}</li>)}</ul>
  ) : null;
};
export default function Page(props: Props) { return <List {...props} />; }
