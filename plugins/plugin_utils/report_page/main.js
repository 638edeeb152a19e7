// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// Puts the parts together. A change of state goes: state, filter, parts, address.

const model = readModel(JSON.parse(byId('data').textContent));
const app = {
  model,
  state: fromFragment(location.hash, model),
  result: null,
  set(patch) {
    app.state = { ...app.state, ...patch };
    update();
    writeFragment(false);
  },
  // A change that shows already.
  note(patch) {
    app.state = { ...app.state, ...patch };
    writeFragment(false);
  },
  reset() {
    app.set(noFilter());
  },
  openHost(id, finding) {
    app.state = { ...app.state, host: model.hosts[id].name };
    details.render(finding);
    writeFragment(true);
  },
  closeHost() {
    app.note({ host: '' });
    details.render();
  },
  showGroup(group) {
    const open = [String(group.id)];
    app.set({ ...noFilter(), rule: group.rule, q: group.key, waived: 'show', view: '', host: '', open });
    byId('list').scrollIntoView({ block: 'start' });
  },
};

const lists = el('div', { class: 'lists' });
const tabs = [['', 'What is wrong'], ['findings', 'All findings']].map(([view, text]) => toggle(false, {
  'data-view': view || 'faults', onclick: () => app.set({ view }),
}, text));
const said = el('p', { id: 'outcome', role: 'status' });
byId('list').append(el('div', { class: 'bar' }, el('h2', { class: 'offscreen' }, 'Findings'),
  el('span', { class: 'segments', role: 'group', 'aria-label': 'Show findings as' }, ...tabs), said), lists);
const faultBox = el('div', {});
const findingBox = el('div', {});
lists.append(faultBox, findingBox);

const head = createHead(app, byId('head'));
const filters = createFilters(app, byId('filters'));
createMeasures(app, byId('measures'));
const map = createMap(app, byId('map'));
const faults = createFaults(app, faultBox);
const findings = createFindings(app, findingBox);
const details = createDetails(app, byId('details'));

function update() {
  const start = performance.now();
  app.result = applyFilter(model, app.state);
  said.textContent = outcome(app);
  head.render();
  filters.render();
  map.render();
  const single = app.state.view === 'findings';
  faultBox.hidden = single;
  findingBox.hidden = !single;
  for (const tab of tabs) press(tab, (tab.dataset.view === 'findings') === single);
  (single ? findings : faults).render();
  details.render();
  // For whoever wants to know how quick the page is: performance.getEntriesByType('measure').
  performance.measure('update', { start });
  requestAnimationFrame(() => setTimeout(() => performance.measure('update to paint', { start })));
}

function writeFragment(step) {
  const fragment = toFragment(app.state);
  if (fragment === location.hash.replace(/^#/, '')) return;
  try {
    const address = location.href.split('#')[0] + (fragment && `#${fragment}`);
    history[step ? 'pushState' : 'replaceState'](null, '', address);
  } catch {
    location.hash = fragment; // a frame may forbid the history
  }
}

function readFragment() {
  app.state = fromFragment(location.hash, model);
  update();
}

function addKeys() {
  document.addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, select, textarea');
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      byId('search').focus();
      byId('search').select();
    } else if (event.key === 'Escape' && app.state.host) {
      app.closeHost();
    }
  });
  document.addEventListener('click', (event) => {
    const chosen = event.target.closest('[data-host]');
    if (!chosen) return;
    byId('tip').hidden = true;
    app.openHost(Number(chosen.dataset.host));
  });
}

// A few words about the host under the pointer, or in focus.
function addTips() {
  const tip = byId('tip');
  const show = (event) => {
    const node = event.target.closest?.('[data-tip]');
    tip.hidden = !node;
    if (!node) return;
    tip.replaceChildren(...tipText(Number(node.dataset.tip)));
    const at = node.getBoundingClientRect();
    const left = Math.min(at.left, innerWidth - tip.offsetWidth - 8);
    const below = at.bottom + 6 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - tip.offsetHeight - 6)}px`;
  };
  for (const kind of ['pointerover', 'focusin']) document.addEventListener(kind, show);
  document.addEventListener('scroll', () => { tip.hidden = true; }, { passive: true, capture: true });
}

function tipText(id) {
  const host = model.hosts[id];
  const open = findingsOf(model, id).filter((index) => CHANGES[model.findingChange[index]] !== 'gone');
  const worst = open.slice(0, 4).map((index) => {
    const fault = model.faults[model.findingFault[index]];
    return el('li', {}, mark(fault.severity), el('bdi', {}, fault.subject === 'host' ? fault.reason : fault.key),
      fault.waiver ? ' (waived)' : '');
  });
  const more = open.length - worst.length;
  return [el('b', {}, el('bdi', {}, host.name)), el('span', {}, ` ${STATUS[host.status] || ''}`),
    worst.length > 0 && el('ul', {}, ...worst), more > 0 && el('small', {}, `and ${number(more)} more`)]
    .filter(Boolean);
}

// What sticks to the top stands below the bar of filters, whatever its height.
new ResizeObserver(() => {
  document.documentElement.style.setProperty('--bar', `${byId('filters').offsetHeight}px`);
}).observe(byId('filters'));
update();
addKeys();
addTips();
window.addEventListener('hashchange', readFragment);
window.addEventListener('popstate', readFragment);
document.documentElement.dataset.ready = 'yes';
performance.measure('ready', { start: 0 });
