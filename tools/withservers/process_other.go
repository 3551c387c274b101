//go:build unix && !linux

package main

import "syscall"

// dieWithParent does nothing: only Linux can tie a child to its parent. A killed withservers leaves its servers behind.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
