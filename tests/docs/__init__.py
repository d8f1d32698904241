"""What the pages say is compared with what there is."""
