// Opens the pages that `cargo test --test dashboard` leaves and looks at them as people do:
//   node .ci/dashboard.mjs FOLDER [PICTURES]         checks dashboard.html, hostile.html, empty.html
//   node .ci/dashboard.mjs --picture PAGE OUT.png    makes the picture of the README
import { Browser } from './browser.mjs';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [first, second, third] = process.argv.slice(2);
const browser = new Browser();
const faults = [];
const check = (name, holds, seen = '') => { if (!holds) faults.push(`${name}: ${seen}`); };
const WIDTHS = [[390, 844], [1440, 900]];

// What is measured within the page.
const LAYOUT = `({
  wide: document.documentElement.scrollWidth - window.innerWidth,
  plots: [...document.querySelectorAll('svg.plot')].map((plot) => {
    const box = plot.getBoundingClientRect();
    return { role: plot.getAttribute('role'), title: plot.querySelector(':scope > title')?.textContent.length,
      desc: plot.querySelector(':scope > desc')?.textContent.length, width: box.width, height: box.height };
  }),
  small: Math.min(99, ...[...document.querySelectorAll('svg.plot text')].filter((text) => text.textContent).map((text) => text.getBoundingClientRect().height)),
  thin: [...document.querySelectorAll('td, th')].filter((cell) => cell.textContent.length > 4 && cell.offsetWidth > 0 && cell.offsetWidth < 30).map((cell) => cell.textContent),
  outside: [...document.querySelectorAll('svg.plot text, td, h1, h2, h3, p')].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && !element.closest('.scroll') && !element.closest('details') && (box.left < -1 || box.right > window.innerWidth + 1);
  }).map((element) => element.textContent.slice(0, 40)),
  cut: [...document.querySelectorAll('.scroll')].filter((table) => table.querySelector('td.bar') && table.scrollWidth > table.clientWidth + 1).length,
  scripts: document.querySelectorAll('script, img, iframe, object, link[rel=stylesheet]').length,
  handlers: [...document.querySelectorAll('*')].filter((element) => [...element.attributes].some((a) => a.name.startsWith('on'))).length,
  title: document.title,
  tables: document.querySelectorAll('figure details table').length,
  figures: document.querySelectorAll('figure').length,
})`;

// The contrast of text with what it stands on (WCAG 2), the least of all elements.
const CONTRAST = `(() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  let least = [99, ''];
  for (const element of document.querySelectorAll('h1, h2, h3, p, dt, dd, td, th, li, summary, span, svg text')) {
    if (!element.textContent.trim() || element.closest('title')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(element.closest('svg') ? style.fill : style.color)), light(ground(element))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < least[0]) least = [contrast, element.textContent.slice(0, 40)];
  }
  return least;
})()`;

async function look(name, url, { plots }) {
  const page = await browser.page();
  for (const scheme of ['light', 'dark']) {
    await page.media('screen', scheme);
    for (const [width, height] of WIDTHS) {
      await page.size(width, height);
      await page.open(url);
      const at = `${name}, ${scheme}, ${width} px`;
      const seen = await page.evaluate(LAYOUT);
      check(`${at}: nothing to scroll sideways`, seen.wide <= 0, `${seen.wide} px too wide`);
      check(`${at}: everything within the page`, seen.outside.length === 0, JSON.stringify(seen.outside));
      check(`${at}: plots`, seen.plots.length >= plots, `${seen.plots.length} of ${plots}`);
      check(`${at}: plots have a size, a role, a title and a description`, seen.plots.every((plot) =>
        plot.role === 'img' && plot.title > 0 && plot.desc > 0 && plot.width > 200 && plot.height > 40), JSON.stringify(seen.plots));
      check(`${at}: labels can be read`, seen.small >= 9, `${seen.small} px`);
      check(`${at}: no column is a thread`, seen.thin.length === 0, JSON.stringify(seen.thin));
      check(`${at}: each figure has its table`, seen.tables === seen.figures, `${seen.tables} of ${seen.figures}`);
      check(`${at}: no bar is cut off`, seen.cut === 0, `${seen.cut} tables`);
      check(`${at}: nothing that runs or loads`, seen.scripts + seen.handlers === 0, JSON.stringify(seen));
      check(`${at}: its title`, seen.title === 'Generation analytics', seen.title);
      const [contrast, where] = await page.evaluate(CONTRAST);
      check(`${at}: contrast`, contrast >= 4.5, `${contrast.toFixed(2)} at "${where}"`);
      const picture = await page.picture();
      await page.call('Emulation.setScriptExecutionDisabled', { value: true });
      await page.open(url);
      check(`${at}: the same without JavaScript`, await page.picture() === picture);
      await page.call('Emulation.setScriptExecutionDisabled', { value: false });
      if (second) { mkdirSync(second, { recursive: true }); await page.save(join(second, `${name}-${scheme}-${width}.png`)); }
    }
  }
  await page.media('print', 'light');
  const { data } = await page.call('Page.printToPDF', { printBackground: true });
  check(`${name}: it prints`, data.length > 20_000, `${data.length} characters of PDF`);
  const outside = page.requests.filter((request) => request !== url && !request.startsWith('data:'));
  check(`${name}: nothing is asked of the network`, outside.length === 0, outside.join(' '));
  check(`${name}: nothing is said on the console`, page.complaints.length === 0, page.complaints.join(' | '));
}

try {
  if (first === '--picture') {
    const page = await browser.page();
    await page.media('screen', 'light');
    await page.size(1120, 900);
    await page.open(pathToFileURL(resolve(second)).href);
    const bottom = 'Math.max(...[...document.querySelectorAll("#accuracy ~ .wide > figure")].slice(0, 2).map((figure) => figure.getBoundingClientRect().bottom))';
    await page.save(third, { x: 0, y: 0, width: 1120, height: Math.ceil(await page.evaluate(bottom)) + 20, scale: 1 });
  } else {
    const url = (name) => pathToFileURL(resolve(first, `${name}.html`)).href;
    await look('dashboard', url('dashboard'), { plots: 13 });
    await look('hostile', url('hostile'), { plots: 6 });
    await look('empty', url('empty'), { plots: 0 });
  }
} finally {
  await browser.close();
}
faults.forEach((fault) => console.error(`FAULT ${fault}`));
if (faults.length > 0) process.exit(1);
console.log(first === '--picture' ? `${third} is made` : 'the dashboard reads well at 390 and 1440 px, light and dark, printed, without JavaScript');
