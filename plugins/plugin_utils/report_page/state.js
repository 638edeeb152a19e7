// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// What is shown, as it stands in the address after #, so that a link shows the same to others.

const LISTS = ['severity', 'subject', 'status', 'change', 'open'];
const EMPTY = {
  q: '', severity: [], subject: [], status: [], change: [], rule: '', group: '', waived: '',
  view: '', map: '', by: '', sort: '', open: [], host: '',
};
const FILTERS = ['q', 'severity', 'subject', 'status', 'change', 'rule', 'group', 'waived'];

function toFragment(state) {
  const parameters = new URLSearchParams();
  for (const name of Object.keys(EMPTY)) {
    const text = LISTS.includes(name) ? state[name].join(',') : state[name];
    if (text) parameters.set(name, text);
  }
  return parameters.toString();
}

// The inverse; what the report does not know is left out, so that an old link shows too much rather than nothing.
function fromFragment(fragment, model) {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ''));
  const known = {
    severity: SEVERITIES,
    subject: model.subjects,
    status: Object.keys(STATUS),
    change: model.meta.earlier === null ? [] : Object.keys(CHANGE),
    open: model.groups.map((group) => String(group.id)),
    waived: ['show', 'only'],
    view: ['findings'],
    map: ['tiles', 'table'],
    by: ['profile', 'group', 'status', 'none'],
    rule: model.groups.map((group) => group.rule),
  };
  const state = { ...EMPTY };
  for (const [name, text] of parameters) {
    if (!Object.hasOwn(EMPTY, name)) continue;
    if (LISTS.includes(name)) state[name] = text.split(',').filter((item) => known[name].includes(item));
    else if (!known[name] || known[name].includes(text)) state[name] = text;
  }
  if (!model.hosts.some((host) => inGroup(host, state.group))) state.group = '';
  return state;
}

// Whether a host is in profile:NAME or group:NAME; every host is in ''.
const inGroup = (host, name) => !name || memberships(host).includes(name);

const memberships = (host) => [`profile:${host.profile}`, ...host.groups.map((name) => `group:${name}`)];

const noFilter = () => Object.fromEntries(FILTERS.map((name) => [name, EMPTY[name]]));

const isFiltered = (state) => FILTERS.some((name) => state[name].length > 0);

// Puts an item into a list, or takes it out.
const flipped = (list, item) => (list.includes(item) ? list.filter((other) => other !== item) : [...list, item]);
