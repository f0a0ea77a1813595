"""Bridges to robots and policies that speak another language: one file each, none imported before it is asked for."""
