// Package metrics tries the metrics of kugetsu, the dashboard and the alert rules with Prometheus' own tool. It has tests alone.
package metrics
