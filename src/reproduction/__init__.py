"""The paper, reproduced: its tables and figures, the campaigns that fill them, the report."""
