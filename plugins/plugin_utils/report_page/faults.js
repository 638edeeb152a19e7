// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// What is wrong, worst first: a row for each fault however many hosts have it, which opens to its values and hosts.

const ROWS = 60;
const VARIANTS = 8;
const HOSTS = 24;
const VALUES = 3;

function createFaults(app, box) {
  const rows = el('div', { class: 'faults' });
  const end = el('div', { class: 'end' });
  box.append(rows, end);
  let shown = 0;
  let last = '';
  const add = (size) => {
    const { groups } = app.result;
    for (const entry of groups.slice(shown, shown + size)) {
      const heading = standing(app, entry);
      if (heading && heading !== last) rows.append(el('h3', { class: 'divide' }, heading));
      last = heading;
      rows.append(faultRow(app, entry));
    }
    shown = Math.min(shown + size, groups.length);
  };
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && shown < app.result.groups.length) add(ROWS);
  }, { rootMargin: '600px' }).observe(end);
  const view = {
    render() {
      shown = 0;
      last = '';
      rows.replaceChildren();
      if (app.result.groups.length === 0) rows.append(nothing(app));
      add(ROWS);
    },
  };
  addPrinting(rows, () => {
    if (app.state.view === 'findings') view.render();
    add(Infinity);
  });
  return view;
}

// Why a group does not count, if it does not.
function standing(app, entry) {
  if (entry.gone === entry.found.length) return 'Gone since the earlier report';
  if (entry.open === 0) return 'Waived';
  const { threshold } = app.model.meta;
  return entry.level < SEVERITIES.indexOf(threshold) ? `Below the threshold (${threshold}): no ${WORDS.counts}` : '';
}

// On paper each row shows what it opens to, unless there are too many of them. The table of findings is left out there.
function addPrinting(rows, addAll) {
  let opened = [];
  window.addEventListener('beforeprint', () => {
    addAll();
    const closed = [...rows.children].filter((row) => row.open === false);
    if (closed.length > ROWS) return;
    opened = closed;
    for (const row of opened) {
      row.fill();
      row.open = true;
    }
  });
  window.addEventListener('afterprint', () => {
    for (const row of opened) row.open = false;
    opened = [];
  });
}

function nothing(app) {
  const filtered = isFiltered(app.state);
  const hosts = statusCounts(app.model);
  const text = filtered ? 'No finding matches these filters.'
    : hosts.unreachable + hosts.failed ? 'Nothing is wrong on the hosts that answered.' : 'Nothing is wrong.';
  return el('div', { class: 'nothing' }, el('p', {}, text),
    filtered && linkButton('Clear filters', () => app.reset()));
}

function faultRow(app, entry) {
  const { group } = entry;
  const severity = SEVERITIES[entry.level];
  const body = el('div', { class: 'inside' });
  const row = el('details', { class: `fault ${severity}${entry.open ? '' : ' waived'}`, 'data-group': group.id },
    el('summary', {}, mark(severity), el('div', { class: 'what' },
      el('div', { class: 'name' }, group.subject === 'host' ? sentence(group.title) : value(group.key, 'key'),
        changePill(app, entry), entry.open ? null : el('span', { class: 'pill waived' }, 'waived')),
      el('div', { class: 'sub' }, group.subject !== 'host' && el('span', {}, sentence(group.title)),
        ...differences(app, entry))),
    hostShare(app, entry)), body);
  row.fill = () => {
    if (!body.hasChildNodes()) fillFault(app, entry, body);
  };
  if (app.state.open.includes(String(group.id))) {
    row.fill();
    row.open = true;
  }
  row.addEventListener('toggle', () => {
    row.fill();
    const id = String(group.id);
    if (row.open !== app.state.open.includes(id) && !matchMedia('print').matches) {
      app.note({ open: flipped(app.state.open, id) });
    }
  });
  return row;
}

function hostShare(app, entry) {
  const share = el('span', {});
  share.style.width = `${Math.min(100, (100 * entry.hosts) / Math.max(1, app.model.asked))}%`;
  const text = entry.hosts === 1 ? ' host' : ' hosts';
  return el('div', { class: 'count' }, el('span', {}, el('b', {}, number(entry.hosts)), text),
    el('span', { class: 'meter', 'aria-hidden': 'true' }, share));
}

function changePill(app, entry) {
  const fresh = entry.found.reduce((sum, index) => sum + (CHANGES[app.model.findingChange[index]] === 'new'), 0);
  const { gone } = entry;
  const text = (count) => (count === entry.found.length ? '' : `${number(count)} `);
  return el('span', { class: 'pills' }, fresh > 0 && el('span', { class: 'pill new' }, `${text(fresh)}new`),
    gone > 0 && el('span', { class: 'pill gone' }, `${text(gone)}gone`));
}

// Which values stand in place of the intended one, the most frequent first; files where values say nothing.
function differences(app, entry) {
  const { model } = app;
  if (entry.group.subject === 'host') {
    return frequent(entry.found.map((index) => [model.hosts[model.findingHost[index]].name, 1]), '');
  }
  const found = variants(model, entry);
  const read = (kept, name) => kept.map((variant) => [variant.fault[name], variant.found.length]);
  for (const [name, term] of [['running', WORDS.runs], ['boot', WORDS.boot]]) {
    const odd = found.filter((variant) => variant.fault.differs[name]);
    if (odd.length > 0) return [...frequent(read(odd, name), term), ...frequent(read(odd, 'intended'), WORDS.intended)];
  }
  return frequent(read(found.filter((variant) => variant.fault.source), 'source'), '');
}

// pairs: texts, each with how often it was found.
function frequent(pairs, term) {
  const counts = new Map();
  for (const [text, times] of pairs) counts.set(text, (counts.get(text) || 0) + times);
  const sorted = [...counts].sort((one, other) => other[1] - one[1]);
  if (sorted.length === 0) return [];
  const more = sorted.length - VALUES;
  const named = sorted.slice(0, VALUES).flatMap(([text], index) => [index > 0 && ', ', value(text)]);
  return [el('span', { class: 'said' }, term && el('i', {}, `${term} `), ...named,
    more > 0 && ` and ${plural(more, 'other')}`)];
}

function fillFault(app, entry, body) {
  const { model } = app;
  const rule = lookup(model.rules, entry.group.rule);
  const hosts = [...new Set(entry.found.map((index) => model.hosts[model.findingHost[index]]))];
  const copy = linkButton('Copy host names for -l', async () => {
    copy.textContent = (await copyText(hosts.map((host) => host.name).join(','))) ? 'Copied' : 'Could not copy';
  });
  body.append(el('div', { class: 'about' }, rule && el('p', {}, rule[1]), copy));
  inParts(body, variants(model, entry), (variant) => variantCard(app, variant), VARIANTS, 'variants');
}

// The findings of a group by fault: the same values, source, owner and waiver; those of most hosts first.
function variants(model, entry) {
  const found = new Map();
  for (const index of entry.found) {
    const fault = model.findingFault[index];
    if (!found.has(fault)) found.set(fault, { fault: model.faults[fault], found: [] });
    found.get(fault).found.push(index);
  }
  return [...found.values()].sort((one, other) => (one.fault.waiver !== null) - (other.fault.waiver !== null)
    || other.fault.level - one.fault.level || other.found.length - one.found.length || one.fault.id - other.fault.id);
}

function variantCard(app, variant) {
  const { model } = app;
  const changes = new Set(variant.found.map((index) => CHANGES[model.findingChange[index]]));
  const change = changes.size === 1 ? [...changes][0] : '';
  const hosts = el('div', { class: 'chips' });
  inParts(hosts, variant.found.map((index) => model.hosts[model.findingHost[index]]), hostChip, HOSTS, 'hosts');
  return el('article', { class: `card ${variant.fault.severity}` },
    el('header', {}, mark(variant.fault.severity), el('b', {}, plural(variant.found.length, 'host')),
      ...pills(variant.fault, change === 'still' ? '' : change)),
    ...faultBody(variant.fault), hosts);
}
