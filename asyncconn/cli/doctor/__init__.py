"""``asyncconn doctor``: what a program that uses asyncconn needs, checked one by one."""

from asyncconn.cli.doctor.command import doctor

__all__ = ["doctor"]
