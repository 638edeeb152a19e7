// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// Which findings, groups and hosts a state shows. Pure.

// Each way to leave a finding out has a bit. What is left out for one reason alone counts for that filter's choices.
const OUT = { q: 1, severity: 2, subject: 4, rule: 8, group: 16, status: 32, change: 64, waived: 128 };

function applyFilter(model, state) {
  const terms = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const hostOut = model.hosts.map((host) => hostFails(host, state));
  const faultOut = model.faults.map((fault) => faultFails(fault, state));
  const matches = textMatcher(model, terms);
  const tally = newTally(model);
  const found = [];
  for (let index = 0; index < model.findingFault.length; index += 1) {
    const fault = model.findingFault[index];
    const host = model.findingHost[index];
    const out = hostOut[host] | faultOut[fault] | changeFails(model.findingChange[index], state)
      | (matches(fault, host) ? 0 : OUT.q);
    if (out === 0) found.push(index);
    if ((out & (out - 1)) === 0) count(tally, out, fault, host, model.findingChange[index]);
  }
  return {
    found, counts: counted(model, tally), ...byGroup(model, found), ...shownHosts(model, state, hostOut, terms, found),
  };
}

const fails = (list, item, bit) => (list.length > 0 && !list.includes(item) ? bit : 0);

function hostFails(host, state) {
  return fails(state.status, host.status, OUT.status) | (inGroup(host, state.group) ? 0 : OUT.group);
}

function faultFails(fault, state) {
  const waivedFails = fault.waiver ? state.waived === '' : state.waived === 'only';
  return fails(state.severity, fault.severity, OUT.severity) | fails(state.subject, fault.subject, OUT.subject)
    | (state.rule && fault.rule !== state.rule ? OUT.rule : 0) | (waivedFails ? OUT.waived : 0);
}

// What is gone is no finding of this report: it shows only when asked for.
function changeFails(code, state) {
  const change = CHANGES[code];
  if (state.change.length > 0) return state.change.includes(change) ? 0 : OUT.change;
  return change === 'gone' ? OUT.change : 0;
}

// A finding matches when its host or its own texts have each term.
function textMatcher(model, terms) {
  if (terms.length === 0) return () => true;
  const inFaults = terms.map((term) => Uint8Array.from(model.faults, (fault) => fault.haystack.includes(term)));
  const inHosts = terms.map((term) => Uint8Array.from(model.hosts, (host) => host.haystack.includes(term)));
  return (fault, host) => inFaults.every((has, term) => has[fault] || inHosts[term][host]);
}

// How many findings each choice of a filter would show, kept by fault, host and change while they are counted.
function newTally({ faults, hosts }) {
  const zeros = (list) => new Uint32Array(list.length);
  return {
    fault: { severity: zeros(faults), subject: zeros(faults), rule: zeros(faults), waived: zeros(faults) },
    host: { status: zeros(hosts), group: zeros(hosts) },
    change: zeros(CHANGES),
  };
}

function count(tally, out, fault, host, change) {
  if (out === 0 || out === OUT.severity) tally.fault.severity[fault] += 1;
  if (out === 0 || out === OUT.subject) tally.fault.subject[fault] += 1;
  if (out === 0 || out === OUT.rule) tally.fault.rule[fault] += 1;
  if (out === 0 || out === OUT.waived) tally.fault.waived[fault] += 1;
  if (out === 0 || out === OUT.status) tally.host.status[host] += 1;
  if (out === 0 || out === OUT.group) tally.host.group[host] += 1;
  if (out === 0 || out === OUT.change) tally.change[change] += 1;
}

// The tally by what people choose.
function counted(model, tally) {
  const sum = (numbers, names) => {
    const sums = Object.create(null);
    numbers.forEach((amount, id) => {
      if (amount === 0) return;
      for (const name of names(id)) sums[name] = (sums[name] || 0) + amount;
    });
    return sums;
  };
  const { faults, hosts } = model;
  return {
    severity: sum(tally.fault.severity, (id) => [faults[id].severity]),
    subject: sum(tally.fault.subject, (id) => [faults[id].subject]),
    rule: sum(tally.fault.rule, (id) => [faults[id].rule]),
    waived: sum(tally.fault.waived, (id) => [faults[id].waiver ? 'waived' : 'open']),
    status: sum(tally.host.status, (id) => [hosts[id].status]),
    group: sum(tally.host.group, (id) => memberships(hosts[id])),
    change: sum(tally.change, (code) => [CHANGES[code]]),
  };
}

// The groups that have findings, worst and most frequent first, and the number of hosts that have any.
function byGroup(model, found) {
  const groups = new Map();
  let hosts = 0;
  let last = -1;
  for (const index of found) {
    const host = model.findingHost[index];
    const fault = model.faults[model.findingFault[index]];
    let group = groups.get(fault.group);
    if (!group) {
      group = { group: model.groups[fault.group], found: [], hosts: 0, last: -1, level: -1, open: 0, gone: 0 };
      groups.set(fault.group, group);
    }
    group.found.push(index);
    group.level = Math.max(group.level, fault.level);
    if (!fault.waiver) group.open += 1;
    if (CHANGES[model.findingChange[index]] === 'gone') group.gone += 1;
    if (group.last !== host) group.hosts += 1;
    group.last = host;
    if (last !== host) hosts += 1;
    last = host;
  }
  const rank = (group) => (group.gone === group.found.length ? 2 : group.open === 0 ? 1 : 0);
  const order = (one, other) => rank(one) - rank(other) || other.level - one.level
    || other.hosts - one.hosts || one.group.id - other.group.id;
  return { groups: [...groups.values()].sort(order), hosts };
}

// hostShown: by host, whether the map shows it plainly. It does not when findings are filtered by more than a subject,
// and the host has none of them. hostWorst: the cell of the worst finding that is shown, where they are so filtered.
function shownHosts(model, state, hostOut, terms, found) {
  const hostShown = new Uint8Array(model.asked);
  const hostWorst = new Uint8Array(model.asked);
  const narrowed = state.severity.length || state.change.length || state.rule || state.waived === 'only';
  for (let host = 0; host < model.asked; host += 1) {
    const named = terms.every((term) => model.hosts[host].haystack.includes(term));
    hostShown[host] = !narrowed && hostOut[host] === 0 && named ? 1 : 0;
  }
  if (!narrowed && terms.length === 0) return { hostShown, hostWorst };
  for (const index of found) {
    const host = model.findingHost[index];
    const fault = model.faults[model.findingFault[index]];
    if (host >= model.asked) continue;
    hostShown[host] = 1;
    if (fault.subject !== 'host') {
      hostWorst[host] = Math.max(hostWorst[host], fault.waiver ? CELL.WAIVED : CELL.NOTE + fault.level);
    }
  }
  return { hostShown, hostWorst };
}
