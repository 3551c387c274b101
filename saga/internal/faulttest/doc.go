// Package faulttest proves the saga engine at the level of processes: workers are processes of their own, what their steps
// did is written down outside of them, and between them and a real database stands a proxy that breaks things at chosen
// moments. It has tests only.
//
// Every run says which faults it made; a run whose fault never fired is invalid. MMF_TEST_LONG=1 runs the whole of the
// sweeps and schedules, MMF_TEST_FAULT_SEED one schedule of them.
package faulttest
