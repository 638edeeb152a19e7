// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// One host with all that was found there, beside the page.

const CARDS = 30;

function createDetails(app, box) {
  let shown = '';
  let before = null;
  return {
    render(finding) {
      const host = app.model.hosts.find((one) => one.name === app.state.host);
      if (!host) {
        if (!box.hidden) {
          box.hidden = true;
          if (before && before.isConnected) before.focus();
        }
        shown = '';
        return;
      }
      if (box.hidden) before = document.activeElement;
      if (shown !== host.name) {
        box.replaceChildren(...hostDetails(app, host, finding));
        box.scrollTop = 0;
      }
      shown = host.name;
      box.hidden = false;
      point(box, finding);
    },
  };
}

function point(box, finding) {
  for (const card of box.querySelectorAll('.pointed')) card.classList.remove('pointed');
  const card = finding === undefined ? null : box.querySelector(`[data-finding="${finding}"]`);
  if (card) {
    card.classList.add('pointed');
    card.scrollIntoView({ block: 'center' });
  }
  if (finding !== undefined || !box.contains(document.activeElement)) box.focus({ preventScroll: true });
}

function hostDetails(app, host, finding) {
  const { model } = app;
  const found = findingsOf(model, host.id);
  const list = el('div', { class: 'cards' });
  // What the reader has come for must not stand behind "more".
  const size = Math.max(CARDS, found.indexOf(finding) + 1);
  if (found.length) inParts(list, found, (index) => hostCard(app, index), size, 'findings');
  else {
    const few = model.measures.few[host.id]?.length > 0;
    list.append(el('p', { class: 'nothing' }, few ? 'Nothing is wrong, as far as there is traffic to judge.'
      : 'Nothing is wrong on this host.'));
  }
  return [
    el('header', {}, el('h2', {}, el('bdi', {}, host.name)),
      el('button', { type: 'button', class: 'close', 'aria-label': 'Close', onclick: () => app.closeHost() }, '×')),
    hostFacts(host), subjectStrip(app, host), hostMeasures(app, host),
    el('div', { class: 'bar' }, el('h3', {}, plural(found.length, 'finding')),
      linkButton('List them', () => app.set({ q: host.name, view: 'findings' }))),
    list];
}

function hostFacts(host) {
  const things = Object.values(host.checked).reduce((sum, amount) => sum + amount, 0);
  const items = [
    ['Status', host.status ? STATUS[host.status] : 'not part of this check'],
    ['Profile', host.profile], ['Groups', host.groups.join(', ')], ['Kernel', host.kernel],
    ['Compared', things ? plural(things, 'thing') : 'nothing'],
  ].filter(([, text]) => text);
  return el('dl', { class: `facts ${host.status}` }, ...items.map(([term, text]) => el('div', {}, el('dt', {}, term),
    el('dd', {}, el('bdi', {}, text)))));
}

function subjectStrip(app, host) {
  const { model } = app;
  if (host.id >= model.asked) return null;
  return el('ul', { class: 'strip' }, ...model.subjects.map((subject, column) => {
    const code = worstCell(model, host.id, [column]);
    const compared = host.checked[subject];
    return el('li', { title: `${CELLS[code].text}${compared ? `, ${number(compared)} compared` : ''}` }, square(code),
      subjectName(subject));
  }));
}

function hostCard(app, index) {
  const { model } = app;
  const fault = model.faults[model.findingFault[index]];
  const change = CHANGES[model.findingChange[index]];
  const host = model.hosts[model.findingHost[index]];
  return el('article', { class: `card ${fault.severity}${fault.waiver ? ' is-waived' : ''}`, 'data-finding': index },
    el('header', {}, mark(fault.severity), el('div', { class: 'what' },
      el('bdi', { class: 'key' }, cardTitle(host, fault)),
      fault.subject !== 'host' && el('div', { class: 'sub' },
        `${sentence(fault.title)} · ${subjectName(fault.subject)}`)),
    ...pills(fault, change === 'still' ? '' : change)),
    ...faultBody(fault),
    linkButton('Who else has it', () => app.showGroup(model.groups[fault.group])));
}

// The key of a finding about the host itself is its name, which stands above.
function cardTitle(host, fault) {
  if (fault.subject !== 'host') return fault.key;
  const unknown = host.status === 'unreachable' || host.status === 'failed';
  return sentence(unknown ? STATUS[host.status] : fault.title);
}
