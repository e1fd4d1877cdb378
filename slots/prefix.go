package slots

import (
	"fmt"

	"kugetsu/slots/agent"
)

// prefixed puts the words of AGENT_PREFIX, a sandbox or a program that sets limits, before an agent's argv. That program must
// pass on the environment and the descriptors that it inherits: they are the lease.
func prefixed(prefix string, argv []string) ([]string, error) {
	words, err := agent.Split(prefix)
	if err != nil {
		return nil, fmt.Errorf("AGENT_PREFIX: %w", err)
	}
	return append(words, argv...), nil
}
