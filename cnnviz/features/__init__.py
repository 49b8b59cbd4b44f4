"""What was learned: filters, feature maps, the patches a channel looks for, and how pictures lie among each other."""
