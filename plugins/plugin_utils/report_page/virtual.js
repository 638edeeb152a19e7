// SPDX-FileCopyrightText: netfleet.tcp contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// A long list of which only the rows in sight exist. Rows are of one height; arrow keys move the row that is active.

const SPARE = 8;

// render(index) gives a row's element, activate(index) is called by click and Enter.
function virtualList(box, render, activate) {
  const canvas = el('div', { class: 'canvas', role: 'presentation' });
  const rows = el('div', { class: 'rows', role: 'presentation' });
  canvas.append(rows);
  box.append(canvas);
  const list = { count: 0, height: 28, first: -1, last: -1, active: -1 };

  function draw(anew, all) {
    const first = all ? 0 : Math.max(0, Math.floor(box.scrollTop / list.height) - SPARE);
    const last = all ? list.count
      : Math.min(list.count, Math.ceil((box.scrollTop + box.clientHeight) / list.height) + SPARE);
    if (!anew && first === list.first && last === list.last) return;
    list.first = first;
    list.last = last;
    rows.style.transform = `translateY(${first * list.height}px)`;
    const made = [];
    for (let index = first; index < last; index += 1) {
      const row = render(index);
      row.id = `${box.id}-${index}`;
      row.dataset.row = index;
      if (index === list.active) row.classList.add('active');
      made.push(row);
    }
    rows.replaceChildren(...made);
  }

  function measure() {
    const height = rows.firstElementChild ? rows.firstElementChild.offsetHeight : 0;
    const other = height > 0 && height !== list.height;
    if (other) list.height = height;
    canvas.style.height = `${list.count * list.height}px`;
    draw(other);
  }

  function move(to) {
    list.active = Math.max(0, Math.min(list.count - 1, to));
    const top = list.active * list.height;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + list.height > box.scrollTop + box.clientHeight) box.scrollTop = top + list.height - box.clientHeight;
    draw(true);
    box.setAttribute('aria-activedescendant', `${box.id}-${list.active}`);
  }

  listen(box, list, move, activate);
  box.addEventListener('scroll', () => draw(false), { passive: true });
  new ResizeObserver(measure).observe(box);
  window.addEventListener('beforeprint', () => box.clientHeight > 0 && draw(true, true));
  window.addEventListener('afterprint', () => draw(true));
  return {
    show(count) {
      list.count = count;
      list.active = Math.min(list.active, count - 1);
      canvas.style.height = `${count * list.height}px`;
      draw(true);
      measure();
    },
    top() {
      box.scrollTop = 0;
    },
  };
}

function listen(box, list, move, activate) {
  const page = () => Math.max(1, Math.floor(box.clientHeight / list.height) - 1);
  const keys = {
    ArrowDown: () => move(list.active + 1),
    ArrowUp: () => move(list.active - 1),
    PageDown: () => move(list.active + page()),
    PageUp: () => move(list.active - page()),
    Home: () => move(0),
    End: () => move(list.count - 1),
    Enter: () => list.active >= 0 && activate(list.active),
  };
  box.addEventListener('keydown', (event) => {
    if (!keys[event.key] || list.count === 0 || event.target !== box) return;
    event.preventDefault();
    keys[event.key]();
  });
  box.addEventListener('click', (event) => {
    const row = event.target.closest('[data-row]');
    if (row) activate(Number(row.dataset.row));
  });
}
