// Package sagatest helps to prove sagas and the stores they live in.
//
// [ExerciseStore] is the contract of [saga.Store] as tests: every store of MMF passes it, and so must yours.
package sagatest
