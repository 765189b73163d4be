"""A receipt for one pair on one machine: whether speculation changes what is written."""
