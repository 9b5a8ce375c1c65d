# SPDX-License-Identifier: GPL-2.0
# Of the module's source package, the library and the tool; debian/changelog begins with it.
VERSION := 0.6.0
