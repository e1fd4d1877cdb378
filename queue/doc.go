// Package queue keeps the items: the tasks that wait, those that run, and how they ended.
//
// An item is one file. It is live in items/ (or pm/, the PM agent's lane) and settled in finished/. Its name is
// <priority>-<id>.json, so that the sorted listing of the folder is the run order; the id begins with the time of
// enqueueing. Only the holder of tick.lock changes an item, its priority too: a file name that was remembered is a hint only.
// Publishing a new item needs no lock.
//
// # The states on disk
//
// A run of an item is named by a slot file (slots/k.json, the intent) and has a folder with a marker that is only ever
// renamed: exit → started → end.<outcome>.<code>. The item's field runs is the number of its newest run. These are all
// the states there are, what a crash leaves that stops right there, and how it is repaired:
//
//	pending; no slot names it                   waiting: nothing to repair
//	pending; an item of its after is an error   can never start: the tick that meets it makes it an error, then files it
//	or not there, or the session that it is to  (after those it waits for, where they can never start, too)
//	be on top of is gone; no slot names it
//	pending; its agents cannot take its model   a file that was damaged, or written by hand: the tick that meets it makes it an
//	or its arguments; no slot names it          error, then files it
//	pending; it names a branch, and its         can never work there: the tick that meets it makes it an error, then
//	session began on another; no slot names it  files it
//	pending; the program that is to verify it   waiting, and nothing of its repository is started: a run that met this was
//	is not there; no slot names it              settled before, with repos/….unverifiable.json written first. The tick that
//	                                            finds the cause gone, or the settings changed, removes that file
//	pending; edited, at its old place           the new text without the new priority: waiting, nothing to repair. The same
//	                                            command asked for again repeats the rename
//	pending; a slot names run runs+1 of it      a tick died while dispatching, nothing was handed out: the next tick
//	                                            removes the unused run folder, then empties the slot. Which of several agents
//	                                            runs is written with notified: until then each pass chooses anew
//	any; a slot names another run of it         settled before: the next tick empties the slot, nothing else
//	notified; lease locked                      running: nothing to repair. The marker is started while the command runs that
//	                                            verifies the run, too: a process of the run, with its lease. A runner that lives beyond all its limits does
//	                                            not answer: the tick that meets it marks the run as overdue, and then
//	                                            ends the runner and what it started
//	notified; lease free; marker end.…          ended, not settled: the next tick settles it by that outcome
//	the same; the run has a line in usage/      a tick died while settling: the next tick settles the run again. It writes
//	                                            another line, and the last line of a run counts
//	notified; lease free; no marker end.…;      running, as if the lease were locked: its agent unlocked it. The item says
//	its runner lives                            which process that is, by pid, boot and start time
//	notified; lease free; mark overdue;         its runner was ended: the next tick settles it as a timeout
//	no marker end.…; no runner
//	notified; lease free; marker started;       lost (killed, out of memory, reboot): the next tick settles it as lost,
//	no runner                                   also where the agent was done, and the run was being verified
//	notified; lease free; marker exit;          the agent never started: the next tick settles it as void
//	no runner
//	notified; lease free; no folder or marker   damaged: as with the marker exit
//	notified; no slot names it                  a slot file was lost: the tick that meets it settles it from its run
//	                                            folder, after making sure that no process carries the run's mark, and
//	                                            that its runner does not live
//	completed or error, in items/               settled, not filed (it is the same to what waits for it): the tick that
//	                                            meets it moves it to finished/, and then empties the slot that names it
//	                                            (settle, file, empty: in this order, so that a slot is empty only when
//	                                            nothing remains to be done for its run)
//	a slot names an item that is gone or filed  the slot is emptied
//
// A run on a cluster (KUGETSU_ENGINE=slurm) is a job that sbatch submits, and a lock may not reach the machine of the job. The item and its
// slot name the engine and the job; nothing else has that name, ever, and it is submitted once. The marker is the right to run:
// exit → claimed.<job>.<token> → started → end.<outcome>.<code>, and a pass that learns that the job is gone takes it first, by the fence:
// exit, claimed.… or started → fenced.<what it was>. "The job" is any job of that name, and it is gone if the cluster says that it ended,
// or does not know it any more. Until the run is settled its slot is occupied, whether a lock is or not. Above all applies to such a run up
// to notified, and from end.… on. Between, instead of the lease and the runner:
//
//	notified; no marker end.…; the cluster      not known: nothing to repair. Nothing is settled, and nothing new is started there
//	does not answer
//	notified; marker exit; the job waits or     a job that waits, or has not claimed the run yet; or sbatch failed and the job is there all
//	runs                                        the same: nothing to repair
//	notified; marker exit; no job               a tick died around sbatch, the cluster refused the job or lost it, or it was taken back: the
//	                                            next tick fences the run, so that a job that comes late does nothing
//	notified; marker claimed.… or started; the  running: nothing to repair
//	job is there
//	notified; marker claimed.… or started; its  a controller that was killed may have started the job once more, and the runner of the first one
//	job is said to be completed, since less     is about to record its end: nothing to repair
//	than SLURM_FENCE; not yielded
//	notified; marker claimed.… or started; no   its machine failed, the job was ended, or the cluster forgot it. Its runner may live: the next
//	job                                         tick fences the run. The runner finds that within a second, ends what it started, and makes
//	                                            the mark yielded
//	notified; marker fenced.…; no fence.json    a tick died between the two: the next tick writes that file, which says since when
//	notified; marker fenced.exit; no job        no agent started, and none can: the next tick settles it as void
//	notified; marker fenced.claimed or          the slot is occupied until the mark yielded is there, or the fence is older than SLURM_FENCE.
//	fenced.started; no job                      Then the next tick settles it: as void if it was claimed, as lost, timeout or outgrown if it
//	                                            was started, by what the cluster had said of the job
//	notified; marker fenced.…; a job            it came late, or its machine is back: the next tick ends it, and waits until it is gone
//	notified; no marker or folder; no job       damaged: as with the marker claimed.…, which the next tick makes
//	notified; no slot names it                  a slot file was lost: the tick that meets it makes it again, or settles the run
//	a slot names an item that is gone, or is    the run is fenced and its job ended; the slot is emptied when the runner cannot live on
//	no item
//
// # Promises
//
// An item whose id was printed is there after kill -9 and after a power cut. Every transition is one rename, decided
// before it is written: no state in between is ever visible. A file that cannot be read as an item is quarantined in bad/
// and stops nothing else. An item that a newer version of the format wrote is neither run nor rewritten.
package queue
