package agent

// refusals follows the permissions that were refused in a run.
//
// The rule is the same for all programs. A run in which a permission was refused is a success only if the agent did something of
// the kind after it had learned of the refusal. The exit status does not tell: all programs exit 0 with a polite text, whether the
// agent found another way or gave up. In detail:
//
//   - Only a call of a later step counts. A call made in the step of the refusal was made before the agent knew.
//   - The call must have gone well, as far as the program says so.
//   - A refused look around (reading, searching, keeping a list of things to do) is made up for by any call.
//   - Refused work is made up for by the same tool or by an edit of a file. A refused edit is not made up for by a command,
//     which may be no more than a look around.
type refusals struct {
	looks func(tool string) bool // tools that change nothing outside the conversation
	edits func(tool string) bool // tools that change files
	open  map[string]int         // tool → the step of its last refusal that was not made up for
	named Refusals               // all that were refused, also those that were made up for
}

// never is a step that no call comes after.
const never = int(^uint(0) >> 1)

// refuse notes that a tool was refused in a step.
func (r *refusals) refuse(tool string, step int, permission string) {
	if r.open == nil {
		r.open = map[string]int{}
	}
	r.open[tool] = max(r.open[tool], step)
	r.named.add(permission)
}

// done notes that the call of a tool, made in a step, went well.
func (r *refusals) done(tool string, step int) {
	for refused, at := range r.open {
		if step > at && (r.looks(refused) || tool == refused || r.edits(tool)) {
			delete(r.open, refused)
		}
	}
}

// standing is the permission that was refused last; "" if all refusals were made up for.
func (r *refusals) standing() string {
	if len(r.open) == 0 {
		return ""
	}
	return r.named.Last()
}
