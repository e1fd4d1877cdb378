"use strict";
// The page is whole without this. It tells that the page is old, and loads a newer one where nobody is reading this one closely.
(() => {
  const written = document.getElementById("written"), late = document.getElementById("late"), age = document.getElementById("age");
  const every = Number(written.dataset.every), opened = Date.now();
  const look = () => {
    const minutes = Math.floor((Date.now() - Date.parse(written.dateTime)) / 60000);
    late.hidden = minutes < 2 * every;
    age.textContent = minutes < 120 ? minutes + " minutes old" : Math.floor(minutes / 60) + " hours old";
    const reading = String(getSelection()) !== "" || document.querySelector("details[open]");
    if (minutes >= every && Date.now() - opened > 60000 && !document.hidden && !reading) location.reload();
  };
  look();
  setInterval(look, 15000);
  document.addEventListener("visibilitychange", look);
})();
