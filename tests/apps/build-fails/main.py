print("never gets here")
