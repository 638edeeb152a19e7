// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// The report: what _report_html.page_data wrote, with its texts put back.

// Cells of the map, worst last: what is known of a subject on a host.
const CELL = { UNCHECKED: 0, OK: 1, FEW: 2, WAIVED: 3, NOTE: 4, WARNING: 5, ERROR: 6, UNASKED: 7, UNJUDGED: 8 };
const CELLS = [
  { name: 'unchecked', letter: '', text: 'not checked' },
  { name: 'ok', letter: '', text: '' }, // in the report's own words
  { name: 'few', letter: '·', text: 'not enough traffic' },
  { name: 'waived', letter: 'w', text: 'waived' },
  { name: 'note', letter: 'N', text: 'note' },
  { name: 'warning', letter: 'W', text: 'warning' },
  { name: 'error', letter: 'E', text: 'error' },
  { name: 'unasked', letter: '?', text: 'could not be asked' },
  { name: 'unjudged', letter: '!', text: 'could not be judged' },
];

function readModel(data) {
  Object.assign(STATUS, data.meta.statuses);
  Object.assign(WORDS, data.meta.words);
  CELLS[CELL.OK].text = STATUS.in_step;
  const texts = data.texts;
  const text = (index) => (index < 0 ? null : texts[index]);
  const hosts = readHosts(data.hosts, text);
  const faults = readFaults(data, text);
  const model = {
    meta: data.meta,
    rules: data.rules,
    subjects: data.subjects,
    measures: readMeasures(data.measures, text),
    hosts,
    asked: data.hosts.asked,
    faults,
    groups: groupFaults(faults),
    findingFault: Int32Array.from(data.findings.fault),
    findingHost: Int32Array.from(data.findings.host),
    findingChange: Uint8Array.from(data.findings.change, Number),
  };
  model.hostStart = starts(model.findingHost, hosts.length);
  model.cells = readCells(model);
  nameShortly(hosts);
  return model;
}

// Rows of a tone and texts.
function readMeasures({ head, groups, hosts, few }, text) {
  const row = ([tone, ...cells]) => [tone, ...cells.map(text)];
  return { head, groups: groups.map(row), hosts: hosts.map((rows) => rows.map(row)), few };
}

function readHosts(columns, text) {
  return columns.name.map((name, id) => {
    const known = id < columns.asked;
    return {
      id,
      name: text(name),
      status: known ? columns.status[id] : '',
      profile: known ? text(columns.profile[id]) : '',
      kernel: known ? text(columns.kernel[id]) : '',
      groups: known ? columns.groups[id].map(text) : [],
      checked: known ? columns.checks[columns.checked[id]] : {},
      haystack: text(name).toLowerCase(),
    };
  });
}

function readFaults(data, text) {
  const { waiver, ...columns } = data.faults;
  const names = Object.keys(columns);
  return waiver.map((waived, id) => {
    const fault = { id };
    for (const name of names) fault[name] = text(columns[name][id]);
    fault.level = SEVERITIES.indexOf(fault.severity);
    fault.differs = { running: differ(fault.running, fault.intended), boot: differ(fault.boot, fault.intended) };
    fault.waiver = waived && { reason: text(waived[0]), expires: text(waived[1]) };
    fault.title = lookup(data.rules, fault.rule)?.[0] || fault.rule || subjectName(fault.subject);
    fault.haystack = names.map((name) => fault[name] || '').concat(fault.title).join('\n').toLowerCase();
    return fault;
  });
}

// Names without the domain that all hosts have in common, for where there is little room.
function nameShortly(hosts) {
  let domain = hosts.length > 1 ? hosts[0].name : '';
  for (const { name } of hosts) while (!name.endsWith(domain)) domain = domain.slice(1);
  const dot = domain.indexOf('.');
  const cut = dot < 0 ? 0 : domain.length - dot;
  for (const host of hosts) host.short = host.name.slice(0, host.name.length - cut) || host.name;
}

// Faults of one kind on one thing, whatever the values: what the list of what is wrong has one row for. The key of the
// host itself is its name, which is no difference between faults.
function groupFaults(faults) {
  const groups = new Map();
  for (const fault of faults) {
    const key = fault.subject === 'host' ? '' : fault.key;
    const name = JSON.stringify([fault.rule, fault.subject, key]);
    let group = groups.get(name);
    if (!group) {
      group = { id: groups.size, rule: fault.rule, subject: fault.subject, key, title: fault.title };
      groups.set(name, group);
    }
    fault.group = group.id;
  }
  return [...groups.values()];
}

// Where each host's findings begin; they stand in the order of hosts.
function starts(findingHost, hosts) {
  const start = new Int32Array(hosts + 1);
  for (const host of findingHost) start[host + 1] += 1;
  for (let host = 0; host < hosts; host += 1) start[host + 1] += start[host];
  return start;
}

// By host and subject: the worst finding that is neither waived nor gone, or why there is none.
function readCells(model) {
  const width = model.subjects.length;
  const cells = new Uint8Array(model.asked * width);
  for (let host = 0; host < model.asked; host += 1) {
    const { status, checked } = model.hosts[host];
    const unknown = status === 'unreachable' ? CELL.UNASKED : status === 'failed' ? CELL.UNJUDGED : 0;
    model.subjects.forEach((subject, column) => {
      const few = model.measures.few[host]?.includes(subject);
      const seen = few ? CELL.FEW : subject in checked || subject === 'host' ? CELL.OK : CELL.UNCHECKED;
      cells[host * width + column] = unknown || seen;
    });
  }
  for (let index = 0; index < model.findingHost.length; index += 1) {
    const host = model.findingHost[index];
    const fault = model.faults[model.findingFault[index]];
    const column = model.subjects.indexOf(fault.subject);
    if (host >= model.asked || column < 0 || CHANGES[model.findingChange[index]] === 'gone') continue;
    const found = fault.waiver ? CELL.WAIVED : CELL.NOTE + fault.level;
    const at = host * width + column;
    if (cells[at] < CELL.UNASKED && found > cells[at]) cells[at] = found;
  }
  return cells;
}

// The worst cell of a host over some columns.
function worstCell(model, host, columns) {
  let worst = CELL.UNCHECKED;
  for (const column of columns) worst = Math.max(worst, model.cells[host * model.subjects.length + column]);
  return worst;
}

// The findings of a host, as indices, worst first.
function findingsOf(model, host) {
  const found = [];
  for (let index = model.hostStart[host]; index < model.hostStart[host + 1]; index += 1) found.push(index);
  const rank = (index) => {
    const fault = model.faults[model.findingFault[index]];
    const late = CHANGES[model.findingChange[index]] === 'gone' ? 20 : fault.waiver ? 10 : 0;
    return late - fault.level;
  };
  return found.sort((one, other) => rank(one) - rank(other) || one - other);
}
