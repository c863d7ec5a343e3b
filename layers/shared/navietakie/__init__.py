"""What the four functions of NavieTakie share: the conversation's rules, its tables, the broadcast and the doors."""
