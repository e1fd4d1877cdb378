package slots

import (
	"fmt"

	"kugetsu/slots/agent"
)

// prefixed puts the words of AGENT_PREFIX before an agent's argv: what gives it limits, or a sandbox. It is the agent's
// process like any other: it must pass on the descriptors that it inherits, which are the lease, and the environment.
func prefixed(prefix string, argv []string) ([]string, error) {
	words, err := agent.Split(prefix)
	if err != nil {
		return nil, fmt.Errorf("AGENT_PREFIX: %w", err)
	}
	return append(words, argv...), nil
}
