package bench

// tried is what was tried for rows that do not reach their marks, and what remains. It was written by hand: no benchmark knows it.
const tried = `## What was found

By perf, strace and pprof, on a busy machine: only the processor's time and counts are worth a comparison.

- delegate --from waited for the disk four times for each line, and looked for the agent on PATH for each. Now 500 lines share those
  waits, and lines that ask the same get one answer. 2,000 lines: 2.7 s of the processor before, 0.5 s after; 21 s on the wall before,
  2.1 s after. 200 lines: 800 fsync
  before, one syncfs and two fsync after. 10,000 lines are 2.7 s of the processor now: two thirds of that is the kernel's, which makes,
  renames, links and unlinks files. One rename for the link and the unlink of an item (RENAME_NOREPLACE) and reading repos.json once, and not
  for each line, are the next steps.
- queue list read each item that waits twice. It reads it once: 4.6–5.4 s of the processor before, 3.1–3.7 s after, for 50,000. The table needs the width of every cell before its first line,
  so the list cannot stream: columns of a fixed width, or JSON lines, could. The mark of 50 ms is below the 62 ms that the kernel takes
  here to list 50,000 names, without which nothing says which item is the first.

- A run that ends while a tick waits for tick.lock starts none of its own (tick.next, contrib/model/wake.pml): the simulation below has both.

What remains, the cheapest first:

- A run in a worktree that stands, whose agent changes nothing, asks git five times: config, and ls-files and status before and after the
  agent. It was 14 times: six config, two ls-files, two status, two rev-parse, update-ref, diff-tree. One git process costs 2.1–2.8 ms of the
  processor, where /bin/true costs 0.8. The user's configuration is read once for a run, and not for each repository, worktree and environment, where no
  includeIf asks which one it is; the repository's own by kugetsu where it is of the plainest form. A script counts the processes of a
  run (run_gits). The user's configuration could be kept by the times of the files that git read. ls-files tells of files that git was told
  not to look at; a reader of the index would be faster, and was taken out again: git alone is to say what its index means. A new session
  asks 12 times.
- version took the processor 12 ms, and takes 6, beside a hello of 2. Before, 44% of that was kong, half of it for the flags of 95
  settings that hardly a command line has; 20% package inits, most of them regular expressions. Of what remains, a fifth is kong's and
  the settings', an eighth package inits: net/http, html/template, humanize, ulid. The rest is the runtime's: threads, of which LockOSThread needs one,
  and 530 page faults where hello has 210, half of them of the heap.
- status asks for the time of each settled item, since no order of the names tells which were settled last. All processors ask: of
  10,000 items that took 38 ms on the wall before, and takes 19 now. The processors' time is as it was, two thirds of it in the kernel, which
  also takes 5 ms to list each 10,000 names. The ledger's last lines do not replace it: an item that ended without a run has no line.
- queue stats reads the ledger's lines of all days that it sums up. Most of its time is memory for them (82 MB for 40,000 lines):
  sums of a day, as totals.json has them, would need a record of waits and durations for the medians.
- A lane of 100,000 names takes the kernel 118 ms to list here, beside 124 ms for the whole tick that fills three slots; 50,000 take 62 ms, beside
  69 ms for status. A mark below that needs folders that are split, or a list of the lane that is kept: then an item has two homes.
- A run in a worktree of 50,000 files that changes nothing asks git twice what differs, before the agent and after it, and twice which files git does not look at: so
  2.4 times one git status. Only a watcher of the worktree would save the second look, and an agent may stop a watcher.
- A runner has 12 MB resident, of which 1.9 are its own: the rest are pages of the program, which all runners share.
`
