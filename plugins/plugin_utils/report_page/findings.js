// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// Every finding by itself, in a table that sorts by its columns.

const COLUMNS = [
  { name: 'severity', title: '', read: (fault) => -fault.level },
  { name: 'host', title: 'Host', read: (fault, host) => host },
  { name: 'key', title: 'Key', read: (fault) => fault.key },
  { name: 'intended' },
  { name: 'running' },
  { name: 'boot' },
  { name: 'source', title: 'Source', read: (fault) => fault.source },
];

function createFindings(app, box) {
  const heads = COLUMNS.map((column) => (column.read
    ? el('button', { type: 'button', 'data-sort': column.name, onclick: () => app.set({ sort: nextSort(app.state.sort,
      column.name) }) }, column.title || 'Sev')
    : el('span', {}, sentence(WORDS[column.name]))));
  const rows = el('div', { class: 'scroll', id: 'rows', tabindex: '0', role: 'listbox', 'aria-label': 'Findings' });
  box.append(el('div', { class: 'table' }, el('div', { class: 'heads' }, ...heads), rows));
  let order = [];
  const list = virtualList(rows, (index) => findingRow(app, order[index]), (index) => {
    app.openHost(app.model.findingHost[order[index]], order[index]);
  });
  return {
    render() {
      order = sortedFindings(app);
      for (const head of heads) {
        const sort = app.state.sort;
        const name = head.dataset.sort;
        head.classList.toggle('up', sort === name);
        head.classList.toggle('down', sort === `-${name}`);
      }
      list.top();
      list.show(order.length);
    },
  };
}

// By a column, then the other way round, then in the order of hosts again.
const nextSort = (sort, name) => (sort === name ? `-${name}` : sort === `-${name}` ? '' : name);

function sortedFindings({ model, state, result }) {
  const name = state.sort.replace('-', '');
  const column = COLUMNS.find((one) => one.name === name && one.read);
  if (!column) return result.found;
  const keys = new Map(result.found.map((index) => [index, column.read(model.faults[model.findingFault[index]],
    model.findingHost[index])]));
  const sign = state.sort.startsWith('-') ? -1 : 1;
  const compare = (one, other) => (keys.get(one) < keys.get(other) ? -sign : keys.get(one) > keys.get(other) ? sign
    : one - other);
  return [...result.found].sort(compare);
}

function findingRow(app, index) {
  const { model } = app;
  const fault = model.faults[model.findingFault[index]];
  const host = model.hosts[model.findingHost[index]];
  const valueCell = (name) => el('span', { class: `data ${name}${fault.differs[name] ? ' differs' : ''}` },
    value(fault[name]));
  const change = CHANGES[model.findingChange[index]];
  return el('div', { class: `row${fault.waiver ? ' waived' : ''}`, role: 'option', title: fault.reason },
    mark(fault.severity), el('bdi', { class: 'data host', title: host.name }, host.short),
    el('span', { class: 'data key' }, ...pills(fault, change === 'still' ? '' : change), tail(fault.key, '')),
    valueCell('intended'), valueCell('running'), valueCell('boot'),
    fault.source ? tail(fault.source, 'data source') : el('bdi', { class: 'data source' }, fault.owner));
}
