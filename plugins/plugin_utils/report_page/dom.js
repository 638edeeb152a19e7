// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// Elements, and how values read. Values become text nodes and nothing else.

const byId = (id) => document.getElementById(id);

// An element with attributes; on* are listeners, true is an attribute without value, null and false are left out.
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'class') node.className = value;
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false && child !== ''));
  return node;
}

const NUMBERS = new Intl.NumberFormat('en-US');
const number = (count) => NUMBERS.format(count);
const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many || one + 's'}`;

const SEVERITIES = ['note', 'warning', 'error'];
const SEVERITY_LETTER = { note: 'N', warning: 'W', error: 'E' };
// What is said of hosts by their status, and of the check: the report's own words (see main.js).
const STATUS = {};
const WORDS = {};
const CHANGES = ['', 'new', 'still', 'gone'];
const CHANGE = { new: 'new', still: 'still there', gone: 'gone' };
const TAKES_EFFECT = {
  now: 'at once', 'new sockets': 'with new sockets', 'new listeners': 'with new listeners', reboot: 'after a reboot',
};

// What a table has for a name that a host or an inventory may have chosen ("constructor" is one, too).
const lookup = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const subjectName = (subject) => (subject === 'rtt' ? 'RTT' : subject.replaceAll('_', ' ').replace(/^syn /, 'SYN '));

// A letter in the colour of a severity, or of what stands in its place.
function mark(severity) {
  return el('span', { class: `mark ${severity}`, title: severity, role: 'img', 'aria-label': severity },
    SEVERITY_LETTER[severity] || '?');
}

// A value as a host gave it: null is not known, and an empty one says so.
function value(text, name) {
  const classes = `value ${name || ''}`;
  if (text === null) return el('span', { class: `${classes} none`, title: 'not known, or there is none' }, '–');
  if (text.trim() === '') return el('span', { class: `${classes} none` }, '(empty)');
  return el('bdi', { class: classes }, text);
}

// A text of which the last part stays in sight where there is no room for all: the file of a path, the end of a key.
function tail(text, name) {
  const at = Math.max(text.lastIndexOf('/'), text.includes('/') ? -1 : text.lastIndexOf('.')) + 1;
  return el('bdi', { class: `tail ${name}` }, el('span', {}, text.slice(0, at)), el('span', {}, text.slice(at)));
}

// Whether two values differ to the kernel, which separates fields by any blanks; the unknown differs from nothing.
function differ(one, other) {
  if (one === null || other === null || one === other) return false;
  const plain = (text) => text.trim().replace(/\s+/g, ' ');
  return plain(one) !== plain(other);
}

// 2026-11-22T06:00:01Z as people read it; other texts as they are.
function time(text) {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$/.exec(text);
  return parts ? `${parts[1]} ${parts[2]} UTC` : text;
}

function duration(from, to) {
  const seconds = Math.round((Date.parse(to) - Date.parse(from)) / 1000);
  if (!(seconds >= 0)) return '';
  return seconds < 120 ? plural(seconds, 'second') : plural(Math.round(seconds / 60), 'minute');
}

// A button that reads like a link.
const linkButton = (text, onclick, attributes) => el('button', {
  type: 'button', class: 'link', onclick, ...attributes,
}, text);

// A button that is on or off.
function toggle(pressed, attributes, ...children) {
  return el('button', { type: 'button', 'aria-pressed': pressed ? 'true' : 'false', ...attributes }, ...children);
}

const press = (node, pressed) => node.setAttribute('aria-pressed', pressed ? 'true' : 'false');
