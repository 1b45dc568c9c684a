"""What a notebook instance of the platform does beside Jupyter.

The lifecycle scripts fetch this package from the bucket of deployed files and run it as the
notebook's user. On AWS and on the local platform it is the same code: Python 3.9 or newer with
boto3 and psutil, which AWS's environments of Jupyter have, and nothing from the internet.
"""
