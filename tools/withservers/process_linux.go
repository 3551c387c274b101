package main

import "syscall"

// dieWithParent has the kernel send s to the child when the thread that forks it is gone.
func dieWithParent(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }
