// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// The map of hosts by subject: a tile for each host, or a table with a column for each subject.

// Up to so many hosts the table is what shows first.
const FEW_HOSTS = 60;

function createMap(app, box) {
  const { model } = app;
  const body = el('div', { class: 'body' });
  const few = model.asked <= FEW_HOSTS;
  const mode = () => app.state.map || (few ? 'table' : 'tiles');
  const by = () => app.state.by || defaultOrder(model);
  const modes = ['tiles', 'table'].map((name) => toggle(false, {
    'data-mode': name, onclick: () => app.set({ map: name === (few ? 'table' : 'tiles') ? '' : name }),
  }, name));
  const order = el('select', { id: 'by', 'aria-label': 'Group hosts by', onchange: () => app.set({ by: order.value }) },
    ...[['profile', 'by profile'], ['group', 'by inventory group'], ['status', 'by status'], ['none', 'not grouped']]
      .map(([name, text]) => el('option', { value: name }, text)));
  box.append(
    el('div', { class: 'bar' }, el('h2', {}, 'Hosts'), el('span', { class: 'segments', role: 'group',
      'aria-label': 'Show hosts as' }, ...modes), order),
    body, legend());
  let shape = '';
  let view = null;
  return {
    render() {
      const now = `${mode()} ${by()}`;
      if (now !== shape) {
        shape = now;
        body.replaceChildren();
        body.className = `body as-${mode()}`;
        view = (mode() === 'tiles' ? tileMap : tableMap)(app, body, buckets(model, by()));
      }
      for (const button of modes) press(button, button.dataset.mode === mode());
      order.value = by();
      view.render();
    },
  };
}

function defaultOrder(model) {
  const hosts = model.hosts.slice(0, model.asked);
  if (new Set(hosts.map((host) => host.profile)).size > 1) return 'profile';
  return new Set(hosts.flatMap((host) => host.groups)).size > 1 ? 'group' : 'none';
}

// The hosts by what they are grouped by; a host stands in each of its inventory groups.
function buckets(model, by) {
  const names = {
    profile: (host) => [host.profile || 'no profile'],
    group: (host) => (host.groups.length ? host.groups : ['in no group']),
    status: (host) => [STATUS[host.status]],
    none: () => [''],
  };
  const found = new Map();
  for (const host of model.hosts.slice(0, model.asked)) {
    for (const name of names[by](host)) {
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(host.id);
    }
  }
  return [...found].map(([name, hosts]) => ({ name, hosts }));
}

function legend() {
  const { ERROR, WARNING, NOTE, WAIVED, FEW, OK, UNASKED, UNJUDGED, UNCHECKED } = CELL;
  const few = STATUS.not_enough_traffic ? [FEW] : [];
  const codes = [ERROR, WARNING, NOTE, WAIVED, ...few, OK, UNASKED, UNJUDGED, UNCHECKED];
  return el('ul', { class: 'legend', 'aria-label': 'Legend' }, ...codes.map((code) => el('li', {}, square(code),
    CELLS[code].text)));
}

const square = (code) => el('span', { class: `cell ${CELLS[code].name}` }, CELLS[code].letter);

// The columns that the map speaks of: those of the subjects that are filtered by, or all.
function columnsShown(app) {
  const { subjects } = app.model;
  const wanted = app.state.subject.length ? app.state.subject : subjects;
  return wanted.map((subject) => subjects.indexOf(subject));
}

function bucketText(app, hosts, shown) {
  const counts = statusCounts({ hosts: hosts.map((id) => app.model.hosts[id]), asked: hosts.length });
  if (shown < hosts.length) return `${number(shown)} of ${plural(hosts.length, 'host')}`;
  const words = [plural(hosts.length, 'host')];
  if (counts.drift) words.push(`${number(counts.drift)} ${STATUS.drift}`);
  if (counts.unreachable + counts.failed) words.push(`${number(counts.unreachable + counts.failed)} unknown`);
  return words.join(', ');
}

function tileMap(app, box, groups) {
  const tiles = [];
  const heads = [];
  for (const { name, hosts } of groups) {
    const note = el('span', {});
    heads.push({ note, hosts });
    const field = el('div', { class: 'field' });
    for (const host of hosts) {
      const node = el('button', { type: 'button', tabindex: '-1', 'data-host': host, 'data-tip': host });
      tiles.push({ host, node, look: '', code: -1 });
      field.append(node);
    }
    box.append(el('section', { class: 'bucket' }, el('h3', {}, name && el('bdi', {}, name), note), field));
  }
  if (tiles.length) tiles[0].node.tabIndex = 0;
  roam(box, tiles.map((tile) => tile.node));
  return { render: () => paintTiles(app, tiles, heads) };
}

function paintTiles(app, tiles, heads) {
  const columns = columnsShown(app);
  const { hostShown, hostWorst } = app.result;
  for (const tile of tiles) {
    const code = hostWorst[tile.host] || worstCell(app.model, tile.host, columns);
    const look = `cell ${CELLS[code].name}${hostShown[tile.host] ? '' : ' dim'}`;
    if (look === tile.look) continue;
    tile.look = look;
    tile.node.className = look;
    if (code === tile.code) continue;
    tile.code = code;
    tile.node.textContent = CELLS[code].letter;
    tile.node.setAttribute('aria-label', `${app.model.hosts[tile.host].name}: ${CELLS[code].text}`);
  }
  for (const { note, hosts } of heads) {
    note.textContent = bucketText(app, hosts, hosts.reduce((sum, host) => sum + hostShown[host], 0));
  }
}

// Arrow keys walk over tiles as they stand on the screen; one of them is in the order of Tab.
function roam(box, nodes) {
  const places = () => nodes.map((node) => ({ node, at: node.getBoundingClientRect() }));
  const beside = (node, step) => nodes[nodes.indexOf(node) + step];
  const across = (node, down) => {
    const from = node.getBoundingClientRect();
    const distance = ({ at }) => Math.abs(at.top - from.top) * 100 + Math.abs(at.left - from.left);
    const ahead = places().filter(({ at }) => (down ? at.top > from.top + 1 : at.top < from.top - 1));
    return ahead.reduce((best, place) => (best && distance(best) <= distance(place) ? best : place), null)?.node;
  };
  const keys = {
    ArrowRight: (node) => beside(node, 1),
    ArrowLeft: (node) => beside(node, -1),
    ArrowDown: (node) => across(node, true),
    ArrowUp: (node) => across(node, false),
    Home: () => nodes[0],
    End: () => nodes[nodes.length - 1],
  };
  box.addEventListener('keydown', (event) => {
    const next = keys[event.key] && event.target.matches('.cell') && keys[event.key](event.target);
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

function tableMap(app, box, groups) {
  const { model } = app;
  const heads = model.subjects.map((subject) => toggle(false, {
    title: `Only ${subjectName(subject)}`, 'data-column': subject,
    onclick: () => app.set({ subject: flipped(app.state.subject, subject) }),
  }, el('span', {}, subjectName(subject))));
  const rows = el('div', { class: 'scroll', id: 'hosts', tabindex: '0', role: 'listbox', 'aria-label': 'Hosts' });
  box.style.setProperty('--columns', model.subjects.length);
  box.append(el('div', { class: 'heads' }, el('span', {}), ...heads), rows);
  let lines = [];
  const list = virtualList(rows, (index) => tableRow(app, lines[index]), (index) => {
    if (lines[index].host !== undefined) app.openHost(lines[index].host);
  });
  return {
    render() {
      lines = [];
      for (const { name, hosts } of groups) {
        const shown = hosts.filter((host) => app.result.hostShown[host]);
        if (shown.length && name) lines.push({ name, text: bucketText(app, hosts, shown.length) });
        for (const host of shown) lines.push({ host });
      }
      for (const head of heads) press(head, app.state.subject.includes(head.dataset.column));
      list.show(lines.length);
    },
  };
}

function tableRow(app, line) {
  if (line.host === undefined) {
    return el('div', { class: 'row head', role: 'presentation' }, el('bdi', {}, line.name), el('span', {}, line.text));
  }
  const { model, state } = app;
  const host = model.hosts[line.host];
  const cells = model.subjects.map((subject, column) => {
    const code = worstCell(model, line.host, [column]);
    const cell = square(code);
    cell.title = `${subjectName(subject)}: ${CELLS[code].text}`;
    if (state.subject.length && !state.subject.includes(subject)) cell.classList.add('dim');
    return cell;
  });
  return el('div', { class: `row ${host.status}`, role: 'option', 'data-tip': line.host },
    el('bdi', {}, host.short), ...cells);
}
