// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// The bar of filters. Each choice says how many findings it would show.

function createFilters(app, box) {
  const { model } = app;
  const search = el('input', {
    type: 'search', id: 'search', placeholder: 'Host, key, file, owner …', 'aria-label': 'Search',
    spellcheck: 'false', autocomplete: 'off', 'aria-keyshortcuts': '/',
    oninput: () => app.set({ q: search.value.trim() }),
  });
  const rules = picker('Kind', 'rule', ruleChoices(model), app);
  const groups = picker('Where', 'group', groupChoices(model), app);
  const chips = [
    ...[...SEVERITIES].reverse().map((severity) => chip(app, 'severity', severity, severity, mark(severity))),
    ...model.subjects.map((subject) => chip(app, 'subject', subject, subjectName(subject))),
  ];
  const waived = toggle(false, {
    class: 'chip', id: 'waived', onclick: () => app.set({ waived: app.state.waived ? '' : 'show' }),
  }, 'waived ', el('small', {}));
  const reset = linkButton('Clear filters', () => app.reset(), { id: 'reset' });
  box.append(
    el('div', { class: 'line' }, search, groups.node, rules.node, reset),
    el('div', { class: 'line chips' },
      el('span', { role: 'group', 'aria-label': 'Severity' }, ...chips.slice(0, 3).map((item) => item.node)),
      el('span', { role: 'group', 'aria-label': 'Subject' }, ...chips.slice(3).map((item) => item.node)),
      el('span', { role: 'group', 'aria-label': 'Waived' }, waived)));
  return {
    render() {
      const { state, result } = app;
      if (document.activeElement !== search) search.value = state.q;
      for (const item of [...chips, rules, groups]) item.render(result.counts);
      press(waived, state.waived !== '');
      waived.classList.toggle('zero', !result.counts.waived.waived);
      waived.lastChild.textContent = number(result.counts.waived.waived || 0);
      reset.hidden = !isFiltered(state);
    },
  };
}

// What the filters show, in words.
function outcome({ result, state, model }) {
  const gone = state.change.length === 1 && state.change[0] === 'gone' ? ', gone since the earlier report' : '';
  const shown = result.found.length === 0
    ? `No findings${isFiltered(state) ? ' match' : ''}`
    : `${plural(result.groups.length, 'fault')}: ${plural(result.found.length, 'finding')} on `
      + `${plural(result.hosts, 'host')}${gone}`;
  const hidden = state.waived === '' ? result.counts.waived.waived || 0 : 0;
  const hosts = result.hostShown.reduce((sum, one) => sum + one, 0);
  const none = result.found.length === 0 && isFiltered(state);
  const matched = none ? `; ${plural(hosts, 'host')} of ${number(model.asked)}` : '';
  return `${shown}${matched}${hidden ? ` (${number(hidden)} waived not shown)` : ''}`;
}

function chip(app, name, item, text, icon) {
  const small = el('small', {});
  const node = toggle(false, {
    class: 'chip', [`data-${name}`]: item,
    onclick: () => app.set({ [name]: flipped(app.state[name], item) }),
  }, icon || null, text, ' ', small);
  return {
    node,
    render(counts) {
      const count = counts[name][item] || 0;
      press(node, app.state[name].includes(item));
      node.classList.toggle('zero', count === 0);
      small.textContent = number(count);
    },
  };
}

// choices: [heading or '', [[value, text], ...]], ...
function picker(label, name, choices, app) {
  const select = el('select', { id: name, 'aria-label': label, onchange: () => app.set({ [name]: select.value }) },
    el('option', { value: '' }, `${label}: all`));
  const options = [];
  for (const [heading, items] of choices) {
    const made = items.map(([item, text]) => {
      const option = el('option', { value: item }, text);
      options.push({ option, value: item, text });
      return option;
    });
    if (heading && made.length) select.append(el('optgroup', { label: heading }, ...made));
    else select.append(...made);
  }
  return {
    node: select,
    render(counts) {
      for (const { option, value: item, text } of options) {
        option.textContent = `${text} (${number(counts[name][item] || 0)})`;
      }
      select.value = app.state[name];
      if (select.selectedIndex < 0) select.value = '';
      select.classList.toggle('set', app.state[name] !== '');
    },
  };
}

const ruleChoices = (model) => [['', Object.keys(model.rules).map((rule) => [rule, model.rules[rule][0]])]];

function groupChoices(model) {
  const profiles = new Set();
  const groups = new Set();
  for (const host of model.hosts.slice(0, model.asked)) {
    if (host.profile) profiles.add(host.profile);
    for (const group of host.groups) groups.add(group);
  }
  const sorted = (names) => [...names].sort((one, other) => one.localeCompare(other, 'en', { numeric: true }));
  return [
    ['Profiles', sorted(profiles).map((name) => [`profile:${name}`, name])],
    ['Inventory groups', sorted(groups).map((name) => [`group:${name}`, name])],
  ];
}
