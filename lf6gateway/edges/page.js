// Renews the parts of the operator's page in place, from the stream that data-events names. Everything that is put in was
// escaped by the gateway. What is in use (a focus, a selection, an opened fold) is left as it is.
"use strict";
(() => {
  const link = document.getElementById("link");
  const parser = new DOMParser();
  const AGAIN = 15000;
  let source = null;

  const say = (words, kind) => {
    if (link.textContent !== words) link.textContent = words;
    link.className = "link " + kind;
  };

  // Make one element like another, touching only what differs.
  const match = (old, made) => {
    for (const name of old.getAttributeNames()) {
      if (!made.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const name of made.getAttributeNames()) {
      const value = made.getAttribute(name);
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    children(old, made);
  };

  const children = (old, made) => {
    const wanted = [...made.childNodes];
    wanted.forEach((node, place) => {
      const present = old.childNodes[place];
      if (present === undefined) old.appendChild(node);
      else if (present.nodeType !== node.nodeType || present.nodeName !== node.nodeName) old.replaceChild(node, present);
      else if (node.nodeType === Node.ELEMENT_NODE) match(present, node);
      else if (present.nodeValue !== node.nodeValue) present.nodeValue = node.nodeValue;
    });
    while (old.childNodes.length > wanted.length) old.removeChild(old.lastChild);
  };

  const renew = (event) => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const place = document.querySelector(`[data-live="${name}"]`);
      if (place) children(place, parser.parseFromString(html, "text/html").body);
    }
    say("renewed as it changes", "on");
  };

  const stop = () => {
    if (source) source.close();
    source = null;
  };

  const start = () => {
    stop();
    source = new EventSource(document.body.dataset.events);
    source.addEventListener("renew", renew);
    source.addEventListener("end", () => {
      stop();
      say("the gateway is stopping", "broken");
      setTimeout(start, AGAIN);
    });
    source.addEventListener("error", () => {
      say("no connection, these figures are old", "broken");
      if (source && source.readyState === EventSource.CLOSED) {
        stop();
        setTimeout(start, AGAIN);
      }
    });
  };

  // A page that nobody sees asks for nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : source || start()));
  window.addEventListener("pagehide", stop);
  if (!document.hidden) start();
})();
