// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// What was measured, where the check measures: a row for each indicator of each group, and the same of one host.

const WIDE_HEADS = ['indicator', 'measured', 'target', 'verdict'];

function createMeasures(app, box) {
  const { head, groups } = app.model.measures;
  box.hidden = groups.length === 0;
  if (box.hidden) return;
  box.append(el('div', { class: 'bar' }, el('h2', {}, 'Indicators')), measureTable(head, groups, true));
}

// The first cell of a row of groups is the group's name, which shows once for all of its rows.
function measureTable(heads, rows, grouped) {
  const cell = (text, at, row, before) => {
    if (grouped && at === 0) return el('th', { scope: 'row' }, before && before[1] === text ? '' : el('bdi', {}, text));
    return el('td', { class: heads[at] }, heads[at] === 'verdict' ? el('span', { class: `tone ${row[0]}` }, text)
      : el('bdi', {}, text));
  };
  return el('div', { class: 'measures' }, el('table', {},
    el('thead', {}, el('tr', {}, ...heads.map((name) => el('th', { scope: 'col' }, sentence(name))))),
    el('tbody', {}, ...rows.map((row, index) => el('tr', { class: row[0] },
      ...row.slice(1).map((text, at) => cell(text, at, row, rows[index - 1])))))));
}

// What was measured on a host; null where nothing was.
function hostMeasures(app, host) {
  const rows = app.model.measures.hosts[host.id] || [];
  return rows.length ? measureTable(WIDE_HEADS, rows, false) : null;
}
