#!/bin/sh
exec ./hello
