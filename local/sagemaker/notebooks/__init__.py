"""Notebook instances: JupyterLab and lifecycle scripts, run as the notebook's role."""
