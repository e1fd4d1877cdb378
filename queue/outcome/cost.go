package outcome

import "math"

// Cost is what a run used, as its agent reported: US dollars and tokens.
type Cost struct {
	USD        float64 `json:"usd,omitempty"`
	Input      int64   `json:"input_tokens,omitempty"`
	Output     int64   `json:"output_tokens,omitempty"`
	Reasoning  int64   `json:"reasoning_tokens,omitempty"`
	CacheRead  int64   `json:"cache_read_tokens,omitempty"`
	CacheWrite int64   `json:"cache_write_tokens,omitempty"`
}

// Add adds the values that are sound: the sums must stay finite and never shrink, whatever the agent prints.
func (c *Cost) Add(o Cost) {
	if sum := c.USD + o.USD; o.USD > 0 && !math.IsInf(sum, 0) {
		c.USD = sum
	}
	add := func(sum *int64, n int64) {
		if n > 0 && *sum <= math.MaxInt64-n {
			*sum += n
		}
	}
	add(&c.Input, o.Input)
	add(&c.Output, o.Output)
	add(&c.Reasoning, o.Reasoning)
	add(&c.CacheRead, o.CacheRead)
	add(&c.CacheWrite, o.CacheWrite)
}
