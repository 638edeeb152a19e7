// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// The top of the page: the outcome, what was checked and when, who was not asked, what changed since the last report.

// More hosts than these are counted; the page has one line for them.
const NAMED_HOSTS = 12;

function createHead(app, box) {
  const { model } = app;
  const counts = statusCounts(model);
  const tiles = statusTiles(app, counts);
  const changes = model.meta.earlier === null ? null : changeButtons(app);
  box.append(
    el('div', { class: 'top' },
      el('div', { class: 'outcome' },
        el('p', { class: 'eyebrow' }, `${sentence(WORDS.check)} report`),
        el('h1', {}, verdict(counts, model.asked)),
        facts(model)),
      el('div', { class: 'tiles', role: 'group', 'aria-label': 'Hosts by status' }, ...tiles.map((tile) => tile.node))),
    shareBar(counts),
    el('div', { class: 'news' }, unaskedNotice(app, counts),
      changes && el('div', { class: 'since', role: 'group', 'aria-label': 'Compared with the earlier report' },
        el('span', {}, `Since ${time(model.meta.earlier)}`), ...changes.map((button) => button.node))),
  );
  const buttons = [...tiles, ...(changes || [])];
  return { render: () => buttons.forEach((button) => press(button.node, button.on())) };
}

function statusCounts(model) {
  const counts = { in_step: 0, drift: 0, not_enough_traffic: 0, unreachable: 0, failed: 0 };
  for (let host = 0; host < model.asked; host += 1) counts[model.hosts[host].status] += 1;
  return counts;
}

function verdict(counts, all) {
  if (all === 0) return 'No host was checked';
  const unknown = counts.unreachable + counts.failed;
  const unasked = unknown === 0 ? '' : `${number(unknown)} unknown`;
  if (counts.drift > 0) {
    return `${number(counts.drift)} of ${plural(all, 'host')} ${STATUS.drift}${unasked && `, ${unasked}`}`;
  }
  if (counts.in_step === all) {
    return all === 1 ? `The host is ${STATUS.in_step}` : `All ${number(all)} hosts are ${STATUS.in_step}`;
  }
  if (unknown === all) return 'Nothing is known of any host';
  return `${number(counts.in_step)} of ${plural(all, 'host')} ${STATUS.in_step}${unasked && `, ${unasked}`}`;
}

function facts(model) {
  const { started, finished, threshold, version } = model.meta;
  const lasted = duration(started, finished);
  const subjects = model.subjects.filter((subject) => subject !== 'host').map(subjectName).join(', ');
  const items = [
    ['Checked', `${time(started)}${lasted ? `, in ${lasted}` : ''}`],
    ['Subjects', subjects || 'none'],
    [`Counts as ${WORDS.counts}`, threshold === 'error' ? 'errors' : `${threshold}s and worse`],
    version ? ['By', `netfleet.tcp ${version}`] : null,
  ];
  return el('dl', { class: 'facts' }, ...items.filter(Boolean).map(([term, text]) => el('div', {},
    el('dt', {}, term), el('dd', {}, text))));
}

function statusTiles(app, counts) {
  const waived = app.model.findingFault.reduce((sum, fault) => sum + (app.model.faults[fault].waiver ? 1 : 0), 0);
  const tiles = Object.keys(STATUS).filter((status) => status !== 'failed' || counts.failed > 0).map((status) => ({
    node: toggle(false, {
      class: `tile-status ${status}${counts[status] ? '' : ' zero'}`, 'data-status': status,
      onclick: () => app.set({ status: flipped(app.state.status, status) }),
    }, el('b', {}, number(counts[status])), el('span', {}, STATUS[status])),
    on: () => app.state.status.includes(status),
  }));
  tiles.push({
    node: toggle(false, {
      class: `tile-status waived${waived ? '' : ' zero'}`, 'data-status': 'waived',
      onclick: () => app.set({ waived: app.state.waived === 'only' ? '' : 'only' }),
    }, el('b', {}, number(waived)), el('span', {}, waived === 1 ? 'finding waived' : 'findings waived')),
    on: () => app.state.waived === 'only',
  });
  return tiles;
}

function shareBar(counts) {
  const bar = el('div', { class: 'share', 'aria-hidden': 'true' });
  for (const status of ['drift', 'unreachable', 'failed', 'not_enough_traffic', 'in_step']) {
    if (counts[status] === 0) continue;
    const part = el('span', { class: status });
    part.style.flexGrow = counts[status];
    bar.append(part);
  }
  return bar;
}

function unaskedNotice(app, counts) {
  const unknown = app.model.hosts.filter((host) => host.status === 'unreachable' || host.status === 'failed');
  if (unknown.length === 0) return null;
  const all = ['unreachable', 'failed'].filter((status) => counts[status] > 0);
  return el('div', { class: 'notice', role: 'note' },
    el('strong', {}, `Nothing is known of ${plural(unknown.length, 'host')}; ${unknown.length === 1 ? 'it' : 'they'} `
      + `may ${WORDS.may}.`),
    el('span', { class: 'chips' }, ...unknown.slice(0, NAMED_HOSTS).map((host) => hostChip(host))),
    linkButton(unknown.length > 2 ? `Show all ${number(unknown.length)}` : 'Show them',
      () => app.set({ status: all }), { id: 'unasked' }));
}

function changeButtons(app) {
  const counts = {};
  for (const code of app.model.findingChange) counts[CHANGES[code]] = (counts[CHANGES[code]] || 0) + 1;
  return Object.keys(CHANGE).map((change) => ({
    node: toggle(false, {
      class: `chip ${change}`, 'data-change': change,
      onclick: () => app.set({ change: flipped(app.state.change, change) }),
    }, el('b', {}, number(counts[change] || 0)), ` ${CHANGE[change]}`),
    on: () => app.state.change.includes(change),
  }));
}
