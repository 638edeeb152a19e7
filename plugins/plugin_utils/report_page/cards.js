// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// What list and details have in common: one fault in full, chips of hosts, buttons that show more of something.

const hostChip = (host) => el('button', { type: 'button', class: `chip host ${host.status}`, 'data-host': host.id,
  'data-tip': host.id }, el('bdi', {}, host.name));

// The values of a fault side by side; null where it is not about values.
function valueGrid(fault) {
  if (fault.intended === null && fault.running === null && fault.boot === null) return null;
  const box = (term, name) => {
    const differs = fault.differs[name];
    return el('div', { class: differs ? 'differs' : '' }, el('dt', {}, term, differs && el('i', {}, ` ${WORDS.differs}`)),
      el('dd', {}, value(fault[name])));
  };
  return el('dl', { class: 'values' }, box(sentence(WORDS.intended), 'intended'), box(sentence(WORDS.running), 'running'),
    WORDS.boot && box('After next boot', 'boot'));
}

function faultFacts(fault) {
  const items = [
    ['Cure', fault.cure, 'cure'],
    ['Takes effect', lookup(TAKES_EFFECT, fault.takes_effect) || fault.takes_effect, ''],
    ['Source', fault.source, 'mono'],
    ['Owner', fault.owner, ''],
    ['Waived', fault.waiver && `${fault.waiver.reason} (until ${fault.waiver.expires})`, 'waiver'],
  ].filter(([, text]) => text);
  return el('dl', { class: 'fields' }, ...items.map(([term, text, name]) => el('div', { class: name },
    el('dt', {}, term), el('dd', {}, el('bdi', {}, text)))));
}

function pills(fault, change) {
  return [
    change && CHANGE[change] ? el('span', { class: `pill ${change}` }, CHANGE[change]) : null,
    fault.waiver ? el('span', { class: 'pill waived' }, 'waived') : null,
  ];
}

// Everything about a fault but whose it is and what it is called.
function faultBody(fault) {
  return [el('p', { class: 'reason' }, el('bdi', {}, fault.reason)), valueGrid(fault), faultFacts(fault)];
}

// Fills a box with items, some at a time; more(n) stands behind them while some are left.
function inParts(box, items, make, size, what) {
  let shown = 0;
  const more = el('button', { type: 'button', class: 'link more', onclick: () => add() });
  function add() {
    more.remove();
    box.append(...items.slice(shown, shown + size).map(make));
    shown = Math.min(shown + size, items.length);
    const left = items.length - shown;
    if (left === 0) return;
    more.dataset.left = `and ${number(left)} more ${what}`; // what paper says
    more.textContent = left > size ? `${number(size)} more of ${number(left)} ${what}` : `${number(left)} more ${what}`;
    box.append(more);
  }
  add();
  return box;
}

// Puts text on the clipboard, also where the page may not use it by itself (an old browser, a page in a frame).
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el('textarea', { class: 'offscreen', readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}
