package settings

import "testing"

func TestNearestIsTheSettingThatANameMayMean(t *testing.T) {
	for name, want := range map[string]string{
		"MAX_AGENTS": "MAX_CONCURRENT_AGENTS", "MAX_CONCURENT_AGENTS": "MAX_CONCURRENT_AGENTS", "max_attempts": "MAX_ATTEMPTS", "AGENT-ARGS": "AGENT_ARGS",
		"NOTIFY_COMAND": "NOTIFY_COMMAND", "TASK_TIMEOUT_HOUR": "TASK_TIMEOUT_HOURS", "BASE_BRANCH": "KUGETSU_BASE_BRANCH", "RETRY": "", "IDLE_TIMOUT": "IDLE_TIMEOUT",
		"TASK_TIMEOUT": "TASK_TIMEOUT", "GITHUB_TOKEN": "", "NONE_SUCH": "", "A": "", "": "", "HOLD_MIN": "HOLD_MAX", "MAX": "",
	} {
		if got := nearest(name, Keys()); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
}

func TestMisspeltIsOneOrTwoLettersAway(t *testing.T) {
	for name, want := range map[string]string{"MAX_ATEMPTS": "MAX_ATTEMPTS", "MAX_ATTEMPTS": "MAX_ATTEMPTS", "HOLD_MAX": "HOLD_MAX", "GITHUB_TOKEN": "",
		"MAX_AGENTS": "", "HOLD_MIN": "", "AGENT_MODEL": ""} {
		if got := Misspelt(name); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
}
