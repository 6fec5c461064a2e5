/* The points with doubtful labels: suspects, how doubtful each one is, and the suggested label. */

const SUSPECTED = "suspects, whose neighbours suggest another label";

class Review {
  constructor(page) {
    this.page = page;
    this.data = page.data;
    const { review, columns } = this.data;
    for (const part of ["label", "doubt", "suspect", "suggested"]) this[part] = columns[review[part]];
    this.suspects = this.suspect ? this.suspect.membersOf(review.yes) : [];
    this.button = document.querySelector("[data-do=suspects]");
    this.button.hidden = !this.suspects.length;
  }

  isSuspect(i) {
    return Boolean(this.suspect) && this.suspect.codes[i] === this.data.review.yes;
  }

  /* The suspects that are shown. */
  get shown() {
    return this.page.map.shown(this.suspects);
  }

  /* Say on the button how many suspects are shown. */
  tell() {
    if (this.button.hidden) return;
    const [shown, all] = [this.shown.length, this.suspects.length].map((count) => count.toLocaleString("en"));
    this.button.textContent = `Suspects ${shown}`;
    this.button.title = `Select the ${shown} of ${all} suspects that are shown. Look at each: its neighbours suggest another label, which need not be right. Shift adds them to the selection`;
  }

  choose(event) {
    if (this.shown.length) this.page.selection.choose(this.shown, event, { from: SUSPECTED });
    else this.page.say("no suspect is shown");
  }

  /* The class that the neighbours of a suspect suggest; nothing for others. */
  suggestionFor(i) {
    return this.isSuspect(i) ? this.suggested?.text(i) : "";
  }

  /* What is said of a suspect; nothing of others. */
  verdict(i) {
    if (!this.isSuspect(i)) return "";
    const suggested = this.suggestionFor(i);
    return suggested ? `suspect: its neighbours suggest ${suggested}` : "suspect";
  }

  /* A mark for a suspect, to be appended; of other points nothing. */
  badge(i, text) {
    const title = this.verdict(i);
    return title
      ? [element("mark", { className: "suspect", textContent: text, title, role: "img", ariaLabel: title })]
      : [];
  }

  /* What is told of a point in lines. */
  lines(i) {
    const value = this.doubt?.text(i);
    return [value && `${this.doubt.name} ${value}`, this.verdict(i)].filter(Boolean);
  }

  /* The columns of a card: what is suggested to a suspect stands right under its label. */
  inOrder(columns, i) {
    if (!this.isSuspect(i) || !this.suggested || !this.label) return columns;
    const others = columns.filter((column) => column !== this.suggested);
    return others.toSpliced(others.indexOf(this.label) + 1, 0, this.suggested);
  }

  /* Points, the most doubtful first; those of which nothing is known are the last. */
  worstFirst(points) {
    this.doubts ??= this.doubt.measured(this.data.count).values.map((value) => (Number.isNaN(value) ? -1 / 0 : value));
    return Uint32Array.from(points).sort((a, b) => this.doubts[b] - this.doubts[a] || a - b);
  }
}
