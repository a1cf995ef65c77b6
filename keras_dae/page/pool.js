/* A pool of workers; `ask` returns a promise of the result of `worker.js`. */
"use strict";

const Pool = (() => {
  const MOST = 8; // workers; each one has all models

  function create(models, source) {
    const address = URL.createObjectURL(
      new Blob([source], { type: "text/javascript" }),
    );
    const count = Math.max(1, Math.min(MOST, navigator.hardwareConcurrency || 1));
    const waiting = [];
    const idle = Array.from({ length: count }, () => {
      const worker = new Worker(address);
      models.forEach((load) => worker.postMessage({ load }));
      return worker;
    });

    function next() {
      while (idle.length > 0 && waiting.length > 0) {
        const worker = idle.pop();
        const { question, resolve, reject } = waiting.shift();
        const end = (act, value) => {
          idle.push(worker);
          act(value);
          next();
        };
        worker.onmessage = ({ data }) =>
          data.error ? end(reject, new Error(data.error)) : end(resolve, data);
        worker.onerror = (event) => end(reject, new Error(event.message));
        worker.postMessage(question);
      }
    }

    /* `first` puts a request at the head of the queue. */
    function ask(question, first = false) {
      return new Promise((resolve, reject) => {
        waiting[first ? "unshift" : "push"]({ question, resolve, reject });
        next();
      });
    }
    return { ask, count };
  }

  return { create };
})();
