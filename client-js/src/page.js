/**
 * What only a document has: call-backs for scripts and frames, hidden frames, and forms.
 *
 * Used by the transports that live without CORS. A frame or script of another origin reaches the page by postMessage,
 * where it has it; a call-back is known by its name, which nobody can guess.
 */
import { toBatch } from "./frames.js";
import { random } from "./random.js";
import { ignore, root } from "./root.js";

export function hasDocument() {
  return root.document;
}

/** A call-back that scripts and frames find by its `name`, until `forget` is called. It is given a batch as text. */
export function listen(callback) {
  var name = "_rt" + random();
  function heard(event) {
    if (typeof event.data === "string" && event.data.indexOf(name) === 0) callback(event.data.slice(name.length));
  }
  /** The browser's word, and that of Internet Explorer before 9. */
  function hear(word, old) {
    if (root.addEventListener) root[word + "EventListener"]("message", heard, false);
    else if (root.attachEvent) root[old + "Event"]("onmessage", heard);
  }
  root[name] = callback;
  hear("add", "attach");
  return {
    _name: name,
    _forget: function () {
      // Whatever comes late finds nothing to do, and nothing to complain about.
      root[name] = ignore;
      setTimeout(function () {
        try {
          delete root[name];
        } catch (error) {
          // Internet Explorer before 9 deletes nothing of a window.
        }
      }, 60000);
      hear("remove", "detach");
    }
  };
}

/** A hidden element with `html` in it. Frames with a name have to be made this way for old Internet Explorer. */
export function hidden(html, owner) {
  var where = owner || document, element = where.createElement("div");
  element.style.display = "none";
  element.innerHTML = html;
  (where.body || where.documentElement).appendChild(element);
  return element;
}

/**
 * Removes what hidden() made, or a script, but not while it runs. A frame that is loading would go on spinning otherwise.
 */
export function later(element) {
  setTimeout(function () {
    if (element.parentNode) element.parentNode.removeChild(element);
  }, 0);
}

/** Sends frames up by a form in a hidden frame, whose answer calls back. See http.js for who asks. */
export function submit(asker, url, frames) {
  var callback = listen(function (batch) {
    asker.batch(batch);
    asker.end("");
  });
  var element = hidden(
    "<iframe name=" + callback._name + "></iframe><form method=POST accept-charset=UTF-8 target=" + callback._name +
      "><textarea name=batch></textarea><input name=callback value=" + callback._name + ">"
  );
  var form = element.lastChild;
  form.action = url;
  form.firstChild.value = toBatch(frames);
  form.submit();
  return {
    stop: function () {
      callback._forget();
      later(element);
    }
  };
}
